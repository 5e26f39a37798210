import type { JsonObject, JsonValue } from "../event-log.ts";
import type { ColumnValues, Leaf } from "./column.ts";
import type { ShapeNode } from "./event-shape.ts";

/** Where a leaf's values come from. */
export type ColumnSource = ColumnValues;

/** Puts values of one structure together, given their columns. */
export interface ValueBuilder {
  /** The value of the event at `rank` among those of its shape: a new object each time. */
  build(rank: number): JsonValue;
}

/**
 * What does not vary among the events is put into a template once: cloning an object and setting two keys costs a
 * fraction of adding ten keys one by one.
 */
export function valueBuilder(
  node: ShapeNode,
  columns: readonly ColumnSource[],
  firstLeaf: number,
): ValueBuilder {
  return builderOf(node, columns, { leaf: firstLeaf });
}

function builderOf(
  node: ShapeNode,
  columns: readonly ColumnSource[],
  cursor: { leaf: number },
): ValueBuilder {
  switch (node.kind) {
    case "plain":
      return new PlainBuilder(nextColumn(columns, cursor));
    case "text":
      return new TextBuilder(nextColumn(columns, cursor));
    case "array":
      return new ArrayBuilder(node.items.map((item) => builderOf(item, columns, cursor)));
    case "object":
      return new ObjectBuilder(
        node.keys,
        node.items.map((item) => builderOf(item, columns, cursor)),
      );
  }
}

function nextColumn(columns: readonly ColumnSource[], cursor: { leaf: number }): ColumnSource {
  const column = columns[cursor.leaf];
  cursor.leaf += 1;
  if (column === undefined) throw new Error("a shape has more leaves than columns");
  return column;
}

class PlainBuilder implements ValueBuilder {
  readonly same: boolean;
  readonly #value: Leaf;
  readonly #values: readonly Leaf[];

  constructor(column: ColumnSource) {
    this.same = column.same;
    this.#value = column.same ? column.value : null;
    this.#values = column.same ? [] : column.values;
  }

  build(rank: number): JsonValue {
    return this.same ? this.#value : (this.#values[rank] ?? null);
  }
}

class TextBuilder implements ValueBuilder {
  readonly #column: ColumnSource;

  constructor(column: ColumnSource) {
    this.#column = column;
  }

  build(rank: number): JsonValue {
    const text = this.#column.same ? this.#column.value : this.#column.values[rank];
    return JSON.parse(String(text)) as JsonValue;
  }
}

function isConstant(builder: ValueBuilder): boolean {
  return builder instanceof PlainBuilder && builder.same;
}

class ArrayBuilder implements ValueBuilder {
  readonly #items: readonly ValueBuilder[];

  constructor(items: readonly ValueBuilder[]) {
    this.#items = items;
  }

  build(rank: number): JsonValue {
    const value: JsonValue[] = [];
    for (const item of this.#items) value.push(item.build(rank));
    return value;
  }
}

class ObjectBuilder implements ValueBuilder {
  readonly #template: JsonObject = {};
  readonly #varyingKeys: string[] = [];
  readonly #varying: ValueBuilder[] = [];

  constructor(keys: readonly string[], items: readonly ValueBuilder[]) {
    items.forEach((item, index) => {
      const key = keys[index] ?? "";
      // Every key gets its place here: the order of keys is the template's.
      this.#template[key] = isConstant(item) ? item.build(0) : null;
      if (isConstant(item)) return;
      this.#varyingKeys.push(key);
      this.#varying.push(item);
    });
  }

  build(rank: number): JsonValue {
    const value: JsonObject = { ...this.#template };
    const keys = this.#varyingKeys;
    for (let index = 0; index < keys.length; index++) {
      value[keys[index] ?? ""] = this.#varying[index]?.build(rank) ?? null;
    }
    return value;
  }
}
