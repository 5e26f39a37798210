import { InvalidInputError } from "../../errors.ts";
import type { JsonObject, JsonValue, NewEvent } from "../event-log.ts";
import type { Leaf } from "../event-columns.ts";
import { knownShapeDescription, knownShapeNumber } from "./known-shapes.ts";

/**
 * Taking an event apart into its shape (type and key structure, shared by thousands of events) and its leaves.
 * The leaves are a snapshot: nothing of the caller's objects is kept. They are what a record's columns are made of.
 */

/** Structure of a JSON value: 0 for a plain value, 1 for a value kept as JSON text, objects and arrays as they are. */
export type Skeleton = 0 | 1 | Skeleton[] | { [key: string]: Skeleton };

export type ShapeNode =
  | { readonly kind: "plain" }
  | { readonly kind: "text" }
  | { readonly kind: "array"; readonly items: readonly ShapeNode[] }
  | { readonly kind: "object"; readonly keys: readonly string[]; readonly items: readonly ShapeNode[] };

/** One for each type and key structure: compare by identity. */
export interface EventShape {
  readonly type: string;
  /** JSON of `[type, skeleton of data, skeleton of metadata]`. */
  readonly description: string;
  /** JSON by which a row names it: its number, else its description. */
  readonly reference: string;
  readonly data: ShapeNode;
  readonly metadata: ShapeNode;
  /** For each leaf, in order: is it JSON text? */
  readonly textLeaves: readonly boolean[];
}

/** An event taken apart. */
export interface FlatEvent {
  readonly id: string;
  readonly shape: EventShape;
  /** In the order of the shape's leaves. JSON text where the shape says so. */
  readonly leaves: readonly Leaf[];
  /** Rough size in bytes. */
  readonly size: number;
}

// Bounds of what is taken apart; beyond them a part is kept as JSON text, so that odd data costs time, not shapes.
const DEEPEST = 6;
const LONGEST_ARRAY = 4;
const MOST_KEYS = 32;
const MOST_LEAVES = 48;
const MOST_SHAPES = 2_048;
const MOST_RECENT_SHAPES = 8;

const PLAIN: ShapeNode = { kind: "plain" };
const TEXT: ShapeNode = { kind: "text" };

const shapes = new Map<string, EventShape>();
/** The shapes last seen of each type: most events have the shape of one shortly before. */
const recentShapes = new Map<string, EventShape[]>();

/**
 * Takes an event apart.
 * @throws {InvalidInputError} `invalid-event` where data or metadata are no JSON, or nested too deep for this process.
 */
export function flattenEvent(event: NewEvent): FlatEvent {
  const recent = recentShapes.get(event.type);
  if (recent !== undefined) {
    for (const shape of recent) {
      const leaves: Leaf[] = [];
      if (collect(shape.data, event.data, leaves) && collect(shape.metadata, event.metadata, leaves)) {
        return { id: event.id, shape, leaves, size: sizeOf(leaves) };
      }
    }
  }
  const budget = { leaves: MOST_LEAVES };
  const shape = shapeOf([
    event.type,
    skeletonOf(event.data, 0, budget),
    skeletonOf(event.metadata, 0, budget),
  ]);
  const leaves: Leaf[] = [];
  if (!collect(shape.data, event.data, leaves) || !collect(shape.metadata, event.metadata, leaves)) {
    throw new InvalidInputError("invalid-event", `The event ${event.id} changed while it was read.`);
  }
  remember(shape);
  return { id: event.id, shape, leaves, size: sizeOf(leaves) };
}

function remember(shape: EventShape): void {
  const recent = recentShapes.get(shape.type) ?? [];
  recentShapes.set(
    shape.type,
    [shape, ...recent.filter((other) => other !== shape)].slice(0, MOST_RECENT_SHAPES),
  );
}

function sizeOf(leaves: readonly Leaf[]): number {
  let size = 64;
  for (const leaf of leaves) size += typeof leaf === "string" ? leaf.length + 4 : 4;
  return size;
}

export type ShapeDescription = readonly [type: string, data: Skeleton, metadata: Skeleton];

/** The shape with this number. @throws {Error} where this version knows none. */
export function shapeOfNumber(number: number): EventShape {
  const description = knownShapeDescription(number);
  if (description === undefined) throw new Error(`the shape ${number} is not known to this version`);
  return shapes.get(description) ?? shapeOf(JSON.parse(description) as ShapeDescription);
}

/** The shape of a description, the same object for the same description while it is in use. */
export function shapeOf(description: ShapeDescription): EventShape {
  const text = JSON.stringify(description);
  const known = shapes.get(text);
  if (known !== undefined) return known;
  if (shapes.size >= MOST_SHAPES) {
    shapes.clear();
    recentShapes.clear();
  }
  const textLeaves: boolean[] = [];
  const [type, data, metadata] = description;
  const shape: EventShape = {
    type,
    description: text,
    reference: String(knownShapeNumber(text) ?? text),
    data: nodeOf(data, textLeaves),
    metadata: nodeOf(metadata, textLeaves),
    textLeaves,
  };
  shapes.set(text, shape);
  return shape;
}

function nodeOf(skeleton: Skeleton, textLeaves: boolean[]): ShapeNode {
  if (skeleton === 0 || skeleton === 1) {
    textLeaves.push(skeleton === 1);
    return skeleton === 1 ? TEXT : PLAIN;
  }
  if (Array.isArray(skeleton))
    return { kind: "array", items: skeleton.map((item) => nodeOf(item, textLeaves)) };
  const keys = Object.keys(skeleton);
  return { kind: "object", keys, items: keys.map((key) => nodeOf(skeleton[key] ?? 0, textLeaves)) };
}

function skeletonOf(value: JsonValue, depth: number, budget: { leaves: number }): Skeleton {
  if (isPlain(value)) {
    budget.leaves -= 1;
    return 0;
  }
  if (depth >= DEEPEST || !isTakenApart(value) || budget.leaves <= 0) {
    budget.leaves -= 1;
    return 1;
  }
  if (Array.isArray(value)) return value.map((item) => skeletonOf(item, depth + 1, budget));
  const skeleton: { [key: string]: Skeleton } = {};
  for (const [key, item] of Object.entries(value)) skeleton[key] = skeletonOf(item, depth + 1, budget);
  return skeleton;
}

function isPlain(value: JsonValue): value is Leaf {
  const type = typeof value;
  return type === "string" || type === "number" || type === "boolean" || value === null;
}

/** Whatever JSON.stringify treats in a way of its own (classes, toJSON, undefined, …) is left to JSON.stringify. */
function isTakenApart(value: JsonValue): value is JsonValue[] | JsonObject {
  if (Array.isArray(value)) {
    if (value.length > LONGEST_ARRAY || !Object.hasOwn(value, "length")) return false;
    for (let index = 0; index < value.length; index++) if (!isOrdinary(value[index])) return false;
    return true;
  }
  if (typeof value !== "object" || value === null || !hasPlainPrototype(value)) return false;
  const keys = Object.keys(value);
  return keys.length <= MOST_KEYS && keys.every((key) => key !== "__proto__" && isOrdinary(value[key]));
}

function isOrdinary(value: unknown): boolean {
  const type = typeof value;
  return type === "string" || type === "number" || type === "boolean" || type === "object";
}

function hasPlainPrototype(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Adds the value's leaves where it has this structure; false where it has another. */
function collect(node: ShapeNode, value: JsonValue | undefined, leaves: Leaf[]): boolean {
  switch (node.kind) {
    case "plain":
      return collectPlain(value, leaves);
    case "text": {
      const text = textOf(value);
      if (text === undefined) return false;
      leaves.push(text);
      return true;
    }
    case "array": {
      const { items } = node;
      if (!Array.isArray(value) || value.length !== items.length) return false;
      for (let index = 0; index < items.length; index++) {
        if (!collect(items[index] ?? PLAIN, value[index], leaves)) return false;
      }
      return true;
    }
    case "object": {
      if (typeof value !== "object" || value === null || Array.isArray(value) || !hasPlainPrototype(value))
        return false;
      const keys = Object.keys(value);
      const { keys: expectedKeys, items } = node;
      if (keys.length !== expectedKeys.length) return false;
      for (let index = 0; index < keys.length; index++) {
        const key = keys[index] ?? "";
        if (key !== expectedKeys[index] || !collect(items[index] ?? PLAIN, value[key], leaves)) return false;
      }
      return true;
    }
  }
}

function collectPlain(value: JsonValue | undefined, leaves: Leaf[]): boolean {
  if (typeof value === "number") {
    // As JSON.stringify does: no infinities, no NaN, no -0.
    leaves.push(value === 0 ? 0 : Number.isFinite(value) ? value : null);
    return true;
  }
  if (typeof value !== "string" && typeof value !== "boolean" && value !== null) return false;
  leaves.push(value);
  return true;
}

/** Undefined for what JSON leaves out of an object. */
function textOf(value: JsonValue | undefined): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    throw new InvalidInputError(
      "invalid-event",
      `An event is no JSON, or nested too deep: ${String(error)}.`,
      {
        cause: error,
      },
    );
  }
}

/** Puts an event's data and metadata together again: new objects each time. */
export function unflattenEvent(event: FlatEvent): { data: JsonValue; metadata: JsonObject } {
  const cursor = { leaf: 0 };
  const data = rebuild(event.shape.data, event.leaves, cursor);
  // What was taken apart as metadata was an object: append takes nothing else.
  return { data, metadata: rebuild(event.shape.metadata, event.leaves, cursor) as JsonObject };
}

function rebuild(node: ShapeNode, leaves: readonly Leaf[], cursor: { leaf: number }): JsonValue {
  switch (node.kind) {
    case "plain":
      return leaves[cursor.leaf++] ?? null;
    case "text":
      return JSON.parse(String(leaves[cursor.leaf++])) as JsonValue;
    case "array":
      return node.items.map((item) => rebuild(item, leaves, cursor));
    case "object": {
      const value: JsonObject = {};
      for (let index = 0; index < node.keys.length; index++) {
        value[node.keys[index] ?? ""] = rebuild(node.items[index] ?? PLAIN, leaves, cursor);
      }
      return value;
    }
  }
}
