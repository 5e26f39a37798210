/**
 * Message text comes from models, tools and strangers. On a terminal it must be text: no cursor movement, no
 * colour, no clipboard access, nothing that reorders or hides what is printed around it.
 */

/**
 * Control characters, lone surrogates, line separators, and what is invisible: bidirectional controls, zero-width
 * and filler characters, tags. Joiners and variation selectors stay: emoji and many scripts need them.
 */
const UNSAFE =
  /\u17b4|\u17b5|[\p{Cc}\p{Cs}\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e007f}]/gu;

/** The text for one line of a terminal: what could act on it is shown escaped, line ends included. */
export function terminalLine(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** The same with line ends kept and tabs as spaces. */
export function terminalText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(UNSAFE, (character) =>
      character === "\n" ? "\n" : character === "\t" ? "    " : escapeCharacter(character),
    );
}

/** JSON that reads back the same and cannot act on a terminal: JSON.stringify leaves C1 and invisible characters as they are. */
export function terminalJson(value: unknown, indent?: number): string {
  return terminalJsonText(JSON.stringify(value, undefined, indent));
}

/** The same for what is JSON text already. */
export function terminalJsonText(json: string): string {
  return json.replace(UNSAFE, (character) => (character === "\n" ? "\n" : utf16Escape(character)));
}

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  return SHORT[character] ?? (code <= 0xff ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`);
}

function utf16Escape(character: string): string {
  let escaped = "";
  for (let unit = 0; unit < character.length; unit++) {
    escaped += `\\u${character.charCodeAt(unit).toString(16).padStart(4, "0")}`;
  }
  return escaped;
}

let segmenter: Intl.Segmenter | undefined;

/** The characters as readers count them. The segmenter is made when text needs it: that takes as long as many a command. */
function graphemes(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
  return segmenter.segment(text);
}

const ASCII = /^[\x20-\x7e]*$/;
const MARKS_ONLY = /^(?:\p{M}|\u200c|\u200d)+$/u;
const WIDE =
  /\p{Emoji_Presentation}|\ufe0f|[\u1100-\u115e\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]/u;

/** Columns that safe text of one line takes on a terminal. */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes(text)) {
    if (MARKS_ONLY.test(segment)) continue;
    width += WIDE.test(segment) ? 2 : 1;
  }
  return width;
}

/** The beginning of safe text, at most so many columns wide, with … where something was cut. */
export function truncateText(text: string, width: number): string {
  if (ASCII.test(text)) return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
  if (textWidth(text) <= width) return text;
  let cut = "";
  let used = 0;
  for (const { segment } of graphemes(text)) {
    const next = textWidth(segment);
    if (used + next > width - 1) break;
    cut += segment;
    used += next;
  }
  return `${cut}…`;
}
