import type { JsonObject, JsonValue } from "../event-log.ts";
import type { ColumnValues, Leaf } from "../event-columns.ts";
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
  readonly values: readonly Leaf[];

  constructor(column: ColumnSource) {
    this.same = column.same;
    this.#value = column.same ? column.value : null;
    this.values = column.same ? [] : column.values;
  }

  build(rank: number): JsonValue {
    return this.same ? this.#value : (this.values[rank] ?? null);
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
    // An array that grows takes room for sixteen items first, and splices and marks have three or two.
    const [first, second, third] = this.#items;
    switch (this.#items.length) {
      case 1:
        return [first?.build(rank) ?? null];
      case 2:
        return [first?.build(rank) ?? null, second?.build(rank) ?? null];
      case 3:
        return [first?.build(rank) ?? null, second?.build(rank) ?? null, third?.build(rank) ?? null];
      default:
        return this.#items.map((item) => item.build(rank));
    }
  }
}

/** A key whose value is not the same in all events. */
interface Varying {
  readonly key: string;
  /** Of each event, where they stand in a column as they are. */
  readonly values: readonly Leaf[] | undefined;
  readonly builder: ValueBuilder;
}

class ObjectBuilder implements ValueBuilder {
  readonly #template: JsonObject = {};
  readonly #varying: Varying[] = [];

  constructor(keys: readonly string[], items: readonly ValueBuilder[]) {
    items.forEach((builder, index) => {
      const key = keys[index] ?? "";
      // Every key gets its place here: the order of keys is the template's.
      this.#template[key] = isConstant(builder) ? builder.build(0) : null;
      if (isConstant(builder)) return;
      this.#varying.push({
        key,
        values: builder instanceof PlainBuilder ? builder.values : undefined,
        builder,
      });
    });
  }

  build(rank: number): JsonValue {
    const value: JsonObject = { ...this.#template };
    for (const { key, values, builder } of this.#varying)
      value[key] = values === undefined ? builder.build(rank) : (values[rank] ?? null);
    return value;
  }
}
