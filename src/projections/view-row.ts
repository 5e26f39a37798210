import { crc32 } from "node:zlib";
import { SplicedText } from "../events/text-splice.ts";
import type { Row, SqlValue } from "../log/sqlite/engine.ts";
import { DamagedView } from "./message-collection.ts";
import type { FoldedMessage } from "./stored-message.ts";

/** The rows of the views: what stands in their columns, and the checksum behind it. */

/** What a session's checksum covers, and in which order. */
export const SESSION_COLUMNS =
  "name, revision, last_active, is_listed, has_unended, message_count, next_place, title, state";
/** Of a message. What it is found by (the first four) is in the facts, too, which the checksum covers. */
export const MESSAGE_COLUMNS = "id, external_id, session, place, facts, content, crc";
/** What a message is made of again. Each column that is read costs as much as to parse what it holds. */
export const READ_COLUMNS = "id, facts, content, crc";

/** All of a message but its content, as a JSON array: without keys it is parsed in half the time. */
type Facts = readonly [
  session: number,
  place: number,
  id: number,
  role: FoldedMessage["role"],
  format: FoldedMessage["format"],
  status: FoldedMessage["status"],
  replaced: 0 | 1,
  createdAt: number,
  updatedAt: number,
  createdRevision: number,
  activeBranch: number,
  branchesJson: string,
  turnId: string | null,
  finishReason: string | null,
  usage: FoldedMessage["usage"] | null,
  /** What most messages have not. */
  rare: Pick<FoldedMessage, "externalId" | "metadata" | "error"> | null,
];

/** A message as its row. */
export function messageRow(
  session: number,
  place: number,
  message: Omit<FoldedMessage, "place">,
): SqlValue[] {
  const { externalId, metadata, error } = message;
  const isRare = externalId !== undefined || metadata !== undefined || error !== undefined;
  const facts: Facts = [
    session,
    place,
    message.id,
    message.role,
    message.format,
    message.status,
    message.replaced ? 1 : 0,
    message.createdAt,
    message.updatedAt,
    message.createdRevision,
    message.activeBranch,
    message.branchesJson,
    message.turnId ?? null,
    message.finishReason ?? null,
    message.usage ?? null,
    isRare ? { externalId, metadata, error } : null,
  ];
  const factsText = JSON.stringify(facts);
  const content = toSqlText(message.content.toString());
  const crc = messageChecksum(factsText, content);
  return [message.id, externalIdKey(externalId), session, place, factsText, content, crc];
}

/** What a message is found by that has this external id. */
export function externalIdKey(externalId: string | undefined): string | null {
  return externalId === undefined ? null : JSON.stringify(externalId);
}

/** A message that was read, and whose it is. @throws {DamagedView} where the row is not what was written. */
export function toMessage(row: Row): { message: FoldedMessage; session: number } {
  const facts = row[1];
  const content = row[2] ?? null;
  if (typeof facts !== "string" || messageChecksum(facts, content) !== row[3]) throw damaged(row[0]);
  // By index: to take an array apart by names costs as much as to parse it.
  const parsed = JSON.parse(facts) as Facts;
  if (row[0] !== parsed[2]) throw damaged(row[0]);
  const message: FoldedMessage = {
    id: parsed[2],
    role: parsed[3],
    format: parsed[4],
    content: new SplicedText(fromSqlText(content)),
    branchesJson: parsed[11],
    activeBranch: parsed[10],
    status: parsed[5],
    createdAt: parsed[7],
    updatedAt: parsed[8],
    createdRevision: parsed[9],
    replaced: parsed[6] === 1,
    place: parsed[1],
  };
  // What was parsed is nobody else's: it need not be copied.
  if (parsed[12] !== null) message.turnId = parsed[12];
  if (parsed[13] !== null) message.finishReason = parsed[13];
  if (parsed[14] !== null) message.usage = parsed[14];
  if (parsed[15] !== null) Object.assign(message, parsed[15]);
  return { message, session: parsed[0] };
}

function damaged(id: unknown): DamagedView {
  return new DamagedView(`the row of message ${String(id)} is not what its checksum says`);
}

function messageChecksum(facts: string, content: SqlValue): number {
  return crc32(content instanceof Uint8Array ? content : String(content), crc32(facts));
}

/** @throws {DamagedView} where the last column is not the checksum of the others. */
export function checkRow(row: Row, what: string): void {
  if (rowChecksum(row, row.length - 1) === row.at(-1)) return;
  throw new DamagedView(`the row of ${what} is not what its checksum says`);
}

/** Of the first `count` values. */
export function rowChecksum(values: readonly SqlValue[], count = values.length): number {
  // One call on a long string: what a call costs is more than what a short string does.
  let text = "";
  for (let index = 0; index < count; index++) text += `${String(values[index] ?? null)}\n`;
  return crc32(text);
}

/** SQLite's text is UTF-8 without NUL: what it cannot hold is kept as UTF-16LE bytes. */
function toSqlText(text: string): SqlValue {
  return /[\ud800-\udfff\0]/u.test(text) ? Buffer.from(text, "utf16le") : text;
}

function fromSqlText(value: SqlValue | undefined): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf16le") : String(value);
}
