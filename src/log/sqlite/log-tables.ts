import { DamageError } from "../../errors.ts";
import type { Database, Row, Statement } from "./engine.ts";
import type { HotRow, PackedRow } from "./stored-rows.ts";

/** A row of `streams`. */
export interface StreamRow {
  readonly id: number;
  /** Newest packed revision. */
  readonly headRevision: number;
  readonly firstRevision: number;
}

export interface LogState {
  readonly highestPosition: number;
  readonly recordedAt: number;
  /** Changes when hot rows are rewritten: what was read of them before is no longer true. */
  readonly hotGeneration: number;
}

/** Where a packed row lies, without its payload. */
export interface PackedPlace {
  readonly firstPosition: number;
  readonly lastPosition: number;
  readonly stream: string;
}

const PACKED_COLUMNS = "first_position, last_position, first_revision, count, encoding, crc, payload";
const PLACE = `SELECT p.first_position, p.last_position, s.name
  FROM packed p LEFT JOIN streams s ON s.id = p.stream_id`;

/** Every statement that reads or writes the tables; nothing of what they mean. */
export class LogTables {
  readonly database: Database;
  readonly packSpan: number;
  readonly logId: string;
  readonly #dataVersion: Statement;
  readonly #state: Statement;
  readonly #setState: Statement;
  readonly #hotKeys: Statement;
  readonly #hotAfter: Statement;
  readonly #hotRow: Statement;
  readonly #insertHot: Statement;
  readonly #replaceHot: Statement;
  readonly #deleteHot: Statement;
  readonly #stream: Statement;
  readonly #insertStream: Statement;
  readonly #updateStream: Statement;
  readonly #insertPacked: Statement;
  readonly #deletePacked: Statement;
  readonly #packedAt: Statement;
  readonly #packedForwards: Statement;
  readonly #packedBackwards: Statement;
  readonly #places: Statement;
  readonly #overlapping: Statement;
  readonly #nextPlace: Statement;

  constructor(database: Database) {
    this.database = database;
    const meta = new Map(
      database
        .prepare("SELECT key, value FROM log_meta")
        .all()
        .map((row) => [row[0], row[1]]),
    );
    this.logId = String(meta.get("log_id"));
    this.packSpan = Number(meta.get("pack_span"));
    this.#dataVersion = database.prepare("PRAGMA data_version");
    this.#state = database.prepare("SELECT highest_position, recorded_at, hot_generation FROM log_state");
    this.#setState = database.prepare(
      "UPDATE log_state SET highest_position = ?, recorded_at = ?, hot_generation = ?",
    );
    this.#hotKeys = database.prepare("SELECT position FROM hot ORDER BY position");
    this.#hotAfter = database.prepare("SELECT position FROM hot WHERE position > ? ORDER BY position");
    this.#hotRow = database.prepare(
      "SELECT position, count, encoding, crc, payload FROM hot WHERE position = ?",
    );
    this.#insertHot = database.prepare(
      "INSERT INTO hot (position, count, encoding, crc, payload) VALUES (?, ?, ?, ?, ?)",
    );
    this.#replaceHot = database.prepare(
      "UPDATE hot SET count = ?, encoding = ?, crc = ?, payload = ? WHERE position = ?",
    );
    this.#deleteHot = database.prepare("DELETE FROM hot WHERE position BETWEEN ? AND ?");
    this.#stream = database.prepare("SELECT id, head_revision, first_revision FROM streams WHERE name = ?");
    this.#insertStream = database.prepare(
      "INSERT INTO streams (name, head_revision, first_revision) VALUES (?, ?, ?) RETURNING id",
    );
    this.#updateStream = database.prepare(
      "UPDATE streams SET head_revision = ?, first_revision = ? WHERE id = ?",
    );
    this.#insertPacked = database.prepare(
      `INSERT INTO packed (stream_id, ${PACKED_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#deletePacked = database.prepare("DELETE FROM packed WHERE first_position = ?");
    this.#packedAt = database.prepare(`SELECT ${PACKED_COLUMNS} FROM packed WHERE first_position = ?`);
    this.#packedForwards = database.prepare(
      `SELECT ${PACKED_COLUMNS} FROM packed WHERE stream_id = ?1 AND first_revision >=
       coalesce((SELECT max(first_revision) FROM packed WHERE stream_id = ?1 AND first_revision <= ?2), 0)
       ORDER BY first_revision LIMIT 1`,
    );
    this.#packedBackwards = database.prepare(
      `SELECT ${PACKED_COLUMNS} FROM packed WHERE stream_id = ? AND first_revision <= ?
       ORDER BY first_revision DESC LIMIT 1`,
    );
    this.#places = database.prepare(
      `${PLACE} WHERE p.first_position BETWEEN ? AND ? ORDER BY p.first_position`,
    );
    this.#overlapping = database.prepare(
      `${PLACE} WHERE p.first_position BETWEEN ? AND ? AND p.last_position >= ? ORDER BY p.first_position`,
    );
    this.#nextPlace = database.prepare("SELECT min(first_position) FROM packed WHERE first_position > ?");
  }

  /** Changes when another connection has changed the database. */
  dataVersion(): number {
    return Number(this.#dataVersion.get()?.[0]);
  }

  state(): LogState {
    const row = this.#state.get();
    if (row === undefined)
      throw new DamageError("damaged-file", "The table log_state has lost its only row.");
    return { highestPosition: Number(row[0]), recordedAt: Number(row[1]), hotGeneration: Number(row[2]) };
  }

  setState(state: LogState): void {
    this.#setState.run(state.highestPosition, state.recordedAt, state.hotGeneration);
  }

  hotKeys(): number[] {
    return this.#hotKeys.all().map((row) => Number(row[0]));
  }

  hotKeysAfter(position: number): number[] {
    return this.#hotAfter.all(position).map((row) => Number(row[0]));
  }

  hotRow(position: number): HotRow | undefined {
    const row = this.#hotRow.get(position);
    if (row === undefined) return undefined;
    return {
      position: Number(row[0]),
      count: Number(row[1]),
      encoding: Number(row[2]),
      crc: Number(row[3]),
      payload: bytesOf(row[4]),
    };
  }

  insertHot(row: HotRow): void {
    this.#insertHot.run(row.position, row.count, row.encoding, row.crc, row.payload);
  }

  replaceHot(row: HotRow): void {
    this.#replaceHot.run(row.count, row.encoding, row.crc, row.payload, row.position);
  }

  deleteHot(position: number): void {
    this.#deleteHot.run(position, position);
  }

  /** Every hot row with a key between the two, inclusive. */
  deleteHotBetween(first: number, last: number): void {
    this.#deleteHot.run(first, last);
  }

  stream(name: string): StreamRow | undefined {
    const row = this.#stream.get(name);
    if (row === undefined) return undefined;
    return { id: Number(row[0]), headRevision: Number(row[1]), firstRevision: Number(row[2]) };
  }

  insertStream(name: string, headRevision: number, firstRevision: number): StreamRow {
    const id = Number(this.#insertStream.get(name, headRevision, firstRevision)?.[0]);
    return { id, headRevision, firstRevision };
  }

  updateStream(row: StreamRow): void {
    this.#updateStream.run(row.headRevision, row.firstRevision, row.id);
  }

  insertPacked(streamId: number, row: PackedRow): void {
    const { firstPosition, lastPosition, firstRevision, count, encoding, crc, payload } = row;
    this.#insertPacked.run(
      streamId,
      firstPosition,
      lastPosition,
      firstRevision,
      count,
      encoding,
      crc,
      payload,
    );
  }

  deletePacked(firstPosition: number): void {
    this.#deletePacked.run(firstPosition);
  }

  packedAt(firstPosition: number): PackedRow | undefined {
    return packedRowOf(this.#packedAt.get(firstPosition));
  }

  /** The stream's row that holds `revision`, else the next above. */
  packedFrom(streamId: number, revision: number): PackedRow | undefined {
    return packedRowOf(this.#packedForwards.get(streamId, revision));
  }

  /** The stream's row that holds `revision`, else the next below. */
  packedBackFrom(streamId: number, revision: number): PackedRow | undefined {
    return packedRowOf(this.#packedBackwards.get(streamId, revision));
  }

  /** Packed rows that begin between two positions, inclusive. */
  placesBetween(first: number, last: number): PackedPlace[] {
    return this.#places.all(first, last).map(placeOf);
  }

  /** Packed rows that begin before `position` and reach it. */
  placesOverlapping(position: number): PackedPlace[] {
    return this.#overlapping.all(position - this.packSpan, position - 1, position).map(placeOf);
  }

  /** Where the next packed row above `position` begins. */
  nextPlace(position: number): number | undefined {
    const next = this.#nextPlace.get(position)?.[0];
    return typeof next === "number" ? next : undefined;
  }
}

function bytesOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : Buffer.from(String(value));
}

function packedRowOf(row: Row | undefined): PackedRow | undefined {
  if (row === undefined) return undefined;
  return {
    firstPosition: Number(row[0]),
    lastPosition: Number(row[1]),
    firstRevision: Number(row[2]),
    count: Number(row[3]),
    encoding: Number(row[4]),
    crc: Number(row[5]),
    payload: bytesOf(row[6]),
  };
}

function placeOf(row: Row): PackedPlace {
  const [firstPosition, lastPosition, stream] = row;
  // "" where a damaged file has lost the name: no stream has that.
  return {
    firstPosition: Number(firstPosition),
    lastPosition: Number(lastPosition),
    stream: typeof stream === "string" ? stream : "",
  };
}
