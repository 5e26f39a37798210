import { crc32 } from "node:zlib";
import { SplicedText } from "../events/text-splice.ts";
import type { Row, SqlValue } from "../log/sqlite/engine.ts";
import { DamagedView } from "./message-collection.ts";
import type { FoldedMessage } from "./stored-message.ts";

/** The rows of the views: what stands in their columns, and the checksum behind it. */

/** What a session's checksum covers, and in which order. */
export const SESSION_COLUMNS =
  "name, revision, last_active, is_listed, has_unended, message_count, next_place, title, state";
/** The same of a message. */
export const MESSAGE_COLUMNS = "id, role, external_id, content, branches, facts, replaced, session, place";

/** A message as its row, without the checksum. */
export function messageRow(session: number, place: number, message: FoldedMessage): SqlValue[] {
  const { id, role, content, branchesJson, replaced, externalId, ...facts } = message;
  return [
    id,
    role,
    externalId === undefined ? null : JSON.stringify(externalId),
    toSqlText(content.toString()),
    toSqlText(branchesJson),
    JSON.stringify(facts),
    Number(replaced),
    session,
    place,
  ];
}

type Facts = Omit<FoldedMessage, "id" | "role" | "externalId" | "content" | "branchesJson" | "replaced">;

/** The message of a row with its checksum. @throws {DamagedView} */
export function toMessage(row: Row): FoldedMessage {
  const [id, role, externalId, content, branches, facts, replaced] = row;
  checkRow(row, `message ${String(id)}`);
  // What was parsed is nobody else's: a copy of it would cost a tenth of reading a page.
  const message = JSON.parse(String(facts)) as Facts & Mutable<FoldedMessage>;
  message.id = Number(id);
  message.role = String(role) as FoldedMessage["role"];
  if (externalId !== null && externalId !== undefined)
    message.externalId = JSON.parse(String(externalId)) as string;
  message.content = new SplicedText(fromSqlText(content));
  message.branchesJson = fromSqlText(branches);
  message.replaced = replaced === 1;
  return message;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** @throws {DamagedView} where the last column is not the checksum of the others. */
export function checkRow(row: Row, what: string): void {
  if (rowChecksum(row, row.length - 1) === row.at(-1)) return;
  throw new DamagedView(`the row of ${what} is not what its checksum says`);
}

/** Of the first `count` values. */
export function rowChecksum(values: readonly SqlValue[], count = values.length): number {
  // Few calls on long strings: what a call costs is more than what a short string does.
  let text = "";
  let crc = 0;
  for (let index = 0; index < count; index++) {
    const value = values[index] ?? null;
    if (value instanceof Uint8Array) crc = crc32(value, crc);
    else text += `${value}\n`;
  }
  return crc32(text, crc);
}

/** SQLite's text is UTF-8 without NUL: what it cannot hold is kept as UTF-16LE bytes. */
function toSqlText(text: string): SqlValue {
  return /[\ud800-\udfff\0]/u.test(text) ? Buffer.from(text, "utf16le") : text;
}

function fromSqlText(value: SqlValue | undefined): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf16le") : String(value);
}
