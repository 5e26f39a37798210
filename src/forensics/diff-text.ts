/** What happened to a text, piece by piece: what was deleted and what was kept together are the old one. */
export interface TextPiece {
  op: "equal" | "delete" | "insert";
  text: string;
}

/** Differences beyond this are not looked for in detail: the middle is told as replaced. */
const MOST_EDITS = 400;
/** Tokens of the middle, both texts together, that are compared. */
const MOST_TOKENS = 20_000;

/** The difference between two texts by words; by lines, or as one replacement, where they are long and far apart. */
export function diffTexts(before: string, after: string): TextPiece[] {
  let start = commonStart(before, after);
  let end = commonEnd(before, after, start);
  const longer = before.length < after.length ? after : before;
  if (Math.min(before.length, after.length) === start + end) {
    const shift = shiftToWord(longer.slice(0, start), longer.slice(start, longer.length - end));
    start -= shift;
    end += shift;
  }
  const middleBefore = before.slice(start, before.length - end);
  const middleAfter = after.slice(start, after.length - end);
  return joined([
    { op: "equal", text: before.slice(0, start) },
    ...middle(middleBefore, middleAfter),
    { op: "equal", text: before.slice(before.length - end) },
  ]);
}

/** How far left a piece that was inserted or deleted can be moved, so that it begins where a word does; 0 for not. */
function shiftToWord(before: string, piece: string): number {
  if (piece === "") return 0;
  for (let shift = 0; shift <= before.length; shift++) {
    if (shift === before.length || /\s/.test(before.charAt(before.length - 1 - shift))) return shift;
    const moved =
      shift < piece.length
        ? piece.charAt(piece.length - 1 - shift)
        : before.charAt(before.length - 1 - shift + piece.length);
    if (before.charAt(before.length - 1 - shift) !== moved) return 0;
  }
  return 0;
}

function middle(before: string, after: string): TextPiece[] {
  for (const token of [/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu, /[^\n]*\n|[^\n]+$/g]) {
    const [a, b] = [before.match(token) ?? [], after.match(token) ?? []];
    const pieces = a.length + b.length > MOST_TOKENS ? undefined : editScript(a, b);
    if (pieces !== undefined) return pieces;
  }
  return [
    { op: "delete", text: before },
    { op: "insert", text: after },
  ];
}

/** Myers' greedy algorithm, with the furthest reaching paths of every number of edits kept for the way back. */
function editScript(a: readonly string[], b: readonly string[]): TextPiece[] | undefined {
  const most = Math.min(a.length + b.length, MOST_EDITS);
  const trace: Map<number, number>[] = [];
  let reached = new Map<number, number>([[1, 0]]);
  for (let edits = 0; edits <= most; edits++) {
    const next = new Map(reached);
    for (let k = -edits; k <= edits; k += 2) {
      const isDown = k === -edits || (k !== edits && at(next, k - 1) < at(next, k + 1));
      let x = isDown ? at(next, k + 1) : at(next, k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next.set(k, x);
      if (x >= a.length && x - k >= b.length) return wayBack(a, b, [...trace, reached]);
    }
    trace.push(reached);
    reached = next;
  }
  return undefined;
}

const at = (reached: ReadonlyMap<number, number>, k: number): number => reached.get(k) ?? -1;

function wayBack(
  a: readonly string[],
  b: readonly string[],
  trace: readonly Map<number, number>[],
): TextPiece[] {
  const pieces: TextPiece[] = [];
  let [x, y] = [a.length, b.length];
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const reached = trace[edits] ?? new Map<number, number>();
    const k = x - y;
    const isDown = k === -edits || (k !== edits && at(reached, k - 1) < at(reached, k + 1));
    const before = isDown ? k + 1 : k - 1;
    const fromX = edits === 0 ? 0 : at(reached, before);
    const fromY = edits === 0 ? 0 : fromX - before;
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      pieces.push({ op: "equal", text: a[--x] ?? "" });
      y--;
    }
    if (edits === 0) break;
    if (isDown) pieces.push({ op: "insert", text: b[--y] ?? "" });
    else pieces.push({ op: "delete", text: a[--x] ?? "" });
  }
  return pieces.toReversed();
}

/** Neighbours of a kind become one piece, deletions before insertions. */
function joined(pieces: readonly TextPiece[]): TextPiece[] {
  const result: TextPiece[] = [];
  let deleted = "";
  let inserted = "";
  const flush = (): void => {
    if (deleted !== "") result.push({ op: "delete", text: deleted });
    if (inserted !== "") result.push({ op: "insert", text: inserted });
    deleted = inserted = "";
  };
  for (const { op, text } of pieces) {
    if (text === "") continue;
    if (op === "delete") deleted += text;
    else if (op === "insert") inserted += text;
    else {
      flush();
      const last = result.at(-1);
      if (last?.op === "equal") last.text += text;
      else result.push({ op, text });
    }
  }
  flush();
  return result;
}

/** Units that both begin with; never half a character. */
function commonStart(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let length = 0;
  while (length < most && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return isHalf(a, length) || isHalf(b, length) ? length - 1 : length;
}

function commonEnd(a: string, b: string, start: number): number {
  const most = Math.min(a.length, b.length) - start;
  let length = 0;
  while (length < most && a.charCodeAt(a.length - 1 - length) === b.charCodeAt(b.length - 1 - length))
    length++;
  return isHalf(a, a.length - length) || isHalf(b, b.length - length) ? Math.max(0, length - 1) : length;
}

/** True where a cut here would part the two halves of a character. */
function isHalf(text: string, place: number): boolean {
  return /^[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(Math.max(0, place - 1), place + 1)) && place > 0;
}
