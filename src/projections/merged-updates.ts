import type { ConversationEvent, EventMetadata, Splice } from "../events/conversation-event.ts";
import { eventDefinitions, isCount } from "../events/event-codec.ts";
import {
  type ColumnGroup,
  type ColumnValues,
  type EventColumns,
  type Leaf,
  valueAt,
} from "../log/event-columns.ts";

/**
 * Updates that go on where the one before them ended, as one: text that streamed in as a hundred events is folded as one
 * event, as the turn writer makes one event of what came within its window. Nothing is put together that the fold would
 * only take apart again.
 */
export interface MergedUpdate {
  /** Has the place, the id, the metadata and the length of the newest. */
  readonly event: ConversationEvent & {
    readonly type: "BranchesUpdated";
    readonly data: { readonly content: [Splice]; readonly length: number };
  };
  readonly count: number;
}

/** Which leaf of a structure says what. */
interface Plan {
  readonly marks: readonly number[];
  /** The marks are JSON text. */
  readonly hasMarksText: boolean;
  /** All of the metadata; -1 for what it does not say. */
  readonly leafOf: Readonly<Record<"v" | "writer" | "n" | "time" | "turnId" | "cause", number>>;
}

/** Message, place, deleted, inserted and length come before it. */
const FIRST_OTHER = 5;
const VERSION = eventDefinitions.get("BranchesUpdated")?.version;
const CONTENT = "[[0,0,0]]";
const METADATA_KEYS: ReadonlySet<string> = new Set(["v", "writer", "n", "time", "turnId", "cause"]);
const MARKS_TEXT = /^\[\[\d{1,15},\d{1,15}\](?:,\[\d{1,15},\d{1,15}\])*\]$/;

/** Structures are few; they come from files. */
const MOST_PLANS = 1_000;
const plans = new Map<string, Plan | undefined>();

function planOf(structure: string): Plan | undefined {
  if (plans.has(structure)) return plans.get(structure);
  if (plans.size >= MOST_PLANS) plans.clear();
  const plan = makePlan(JSON.parse(structure) as [string, unknown, unknown]);
  plans.set(structure, plan);
  return plan;
}

/** Undefined for all but an update of one splice, with the keys and in the order in which this library writes them. */
function makePlan([type, data, metadata]: [string, unknown, unknown]): Plan | undefined {
  if (type !== "BranchesUpdated" || !isObject(data) || !isObject(metadata)) return undefined;
  const keys = Object.keys(data).join();
  const hasMarks = keys === "messageId,content,length,marks";
  if ((!hasMarks && keys !== "messageId,content,length") || JSON.stringify(data["content"]) !== CONTENT)
    return undefined;
  if (data["messageId"] !== 0 || data["length"] !== 0) return undefined;
  const marks = hasMarks ? leavesOfMarks(data["marks"]) : [];
  if (marks === undefined) return undefined;
  const names = Object.keys(metadata) as (keyof Plan["leafOf"])[];
  if (!names.every((name) => METADATA_KEYS.has(name) && metadata[name] === 0)) return undefined;
  const first = FIRST_OTHER + marks.length;
  const leafOf = { v: -1, writer: -1, n: -1, time: -1, turnId: -1, cause: -1 };
  for (const [index, name] of names.entries()) leafOf[name] = first + index;
  return { marks, hasMarksText: data["marks"] === 1, leafOf };
}

function leavesOfMarks(marks: unknown): number[] | undefined {
  if (marks === 1) return [FIRST_OTHER];
  if (!Array.isArray(marks) || !marks.every((mark) => JSON.stringify(mark) === "[0,0]")) return undefined;
  return marks.flatMap((_, index) => [FIRST_OTHER + 2 * index, FIRST_OTHER + 2 * index + 1]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A group's columns. Those that say nothing of the content have been checked, as `eventCodec` checks each event. */
interface Updates {
  readonly plan: Plan;
  readonly columns: readonly ColumnValues[];
  readonly at: ColumnValues;
  readonly del: ColumnValues;
  readonly ins: ColumnValues;
  readonly length: ColumnValues;
  /** Message, writer, turn and cause: what must be the same in updates that are merged. */
  readonly writing: readonly (ColumnValues | undefined)[];
  /** All of that is the same in the whole group. */
  readonly isOneWriting: boolean;
}

/** The updates of one run. */
export class MergedUpdates {
  readonly #run: EventColumns;
  readonly #groups = new Map<ColumnGroup, Updates | undefined>();

  constructor(run: EventColumns) {
    this.#run = run;
  }

  /** The event at this index and those that go on where it ends; undefined where it is of another kind, or not sound. */
  from(index: number): MergedUpdate | undefined {
    const run = this.#run;
    const first = this.#updatesAt(index);
    if (first === undefined) return undefined;
    const rank = run.rank(index);
    const start = valueAt(first.at, rank);
    const del = valueAt(first.del, rank);
    let text = valueAt(first.ins, rank);
    let length = valueAt(first.length, rank);
    if (!isCount(start) || !isCount(del) || !isCount(length) || typeof text !== "string") return undefined;
    let newest = first;
    let end = index + 1;
    for (; end < run.count; end++) {
      const next = this.#updatesAt(end);
      if (next === undefined) break;
      const nextRank = run.rank(end);
      const ins = valueAt(next.ins, nextRank);
      if (typeof ins !== "string") break;
      // Numbers that are what they must be need no other check.
      const goesOn =
        valueAt(next.at, nextRank) === start + text.length &&
        valueAt(next.del, nextRank) === 0 &&
        valueAt(next.length, nextRank) === length + ins.length;
      if (!goesOn || !isOfSameWriting(first, rank, next, nextRank)) break;
      text += ins;
      length += ins.length;
      newest = next;
    }
    const splice: Splice = [start, del, text];
    return { event: this.#event(newest, end - 1, splice, length), count: end - index };
  }

  #event(updates: Updates, index: number, splice: Splice, length: number): MergedUpdate["event"] {
    const run = this.#run;
    const rank = run.rank(index);
    const { leafOf } = updates.plan;
    const at = (leaf: number): Leaf | undefined => valueAt(updates.columns[leaf], rank);
    // Checked with the columns.
    const metadata = {
      v: at(leafOf.v),
      writer: at(leafOf.writer),
      n: at(leafOf.n),
      time: at(leafOf.time),
      turnId: at(leafOf.turnId),
      cause: at(leafOf.cause),
    } as EventMetadata;
    return {
      stream: run.stream,
      revision: run.firstRevision + index,
      position: run.positions[index] ?? 0,
      id: run.id(index),
      type: "BranchesUpdated",
      data: { messageId: valueAt(updates.writing[0], rank) as number, content: [splice], length },
      metadata,
    };
  }

  #updatesAt(index: number): Updates | undefined {
    const group = this.#run.group(index);
    const known = this.#groups.get(group);
    if (known !== undefined || this.#groups.has(group)) return known;
    const plan = planOf(group.structure);
    const updates = plan === undefined ? undefined : checkedUpdates(group, plan);
    this.#groups.set(group, updates);
    return updates;
  }
}

function isOfSameWriting(a: Updates, rankOfA: number, b: Updates, rankOfB: number): boolean {
  if (a === b && a.isOneWriting) return true;
  for (let field = 0; field < a.writing.length; field++)
    if (valueAt(a.writing[field], rankOfA) !== valueAt(b.writing[field], rankOfB)) return false;
  return true;
}

function checkedUpdates({ columns }: ColumnGroup, plan: Plan): Updates | undefined {
  const [messageId, at, del, ins, length] = columns;
  if (at === undefined || del === undefined || ins === undefined || length === undefined) return undefined;
  const { leafOf } = plan;
  const [v, writer, turnId, cause] = [
    columns[leafOf.v],
    columns[leafOf.writer],
    columns[leafOf.turnId],
    columns[leafOf.cause],
  ];
  const isSound =
    areCounts(messageId) &&
    v?.same === true &&
    v.value === VERSION &&
    areTexts(writer) &&
    areCounts(columns[leafOf.n]) &&
    areNumbers(columns[leafOf.time]) &&
    (turnId === undefined || areTexts(turnId)) &&
    (cause === undefined || areTexts(cause));
  if (!isSound) return undefined;
  for (const leaf of plan.marks)
    if (plan.hasMarksText ? !areMarksTexts(columns[leaf]) : !areCounts(columns[leaf])) return undefined;
  const writing = [messageId, writer, turnId, cause];
  let isOneWriting = true;
  for (const each of writing) if (each?.same === false) isOneWriting = false;
  return { plan, columns, at, del, ins, length, writing, isOneWriting };
}

/**
 * A loop for each kind, and by index: a test that is handed over costs ten times as much as what it tests, and an
 * iterator makes an object for each step, which was a quarter of what a rebuild allocates.
 */
function areCounts(column: ColumnValues | undefined): boolean {
  if (column === undefined || column.same) return column !== undefined && isCount(column.value);
  const { values } = column;
  for (let index = 0; index < values.length; index++) if (!isCount(values[index])) return false;
  return true;
}

function areNumbers(column: ColumnValues | undefined): boolean {
  if (column === undefined || column.same) return typeof column?.value === "number";
  const { values } = column;
  for (let index = 0; index < values.length; index++) if (typeof values[index] !== "number") return false;
  return true;
}

function areTexts(column: ColumnValues | undefined): boolean {
  if (column === undefined || column.same) return typeof column?.value === "string";
  const { values } = column;
  for (let index = 0; index < values.length; index++) if (typeof values[index] !== "string") return false;
  return true;
}

function areMarksTexts(column: ColumnValues | undefined): boolean {
  if (!areTexts(column) || column === undefined) return false;
  return (column.same ? [column.value] : column.values).every((text) => MARKS_TEXT.test(String(text)));
}
