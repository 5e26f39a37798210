import type { HotRow, PackedRow } from "./stored-rows.ts";

/** Something in the file that cannot be read. What it says of itself may be part of the damage. */
export interface XrayDamage {
  readonly code: "damaged-row" | "damaged-page" | "nameless-row";
  readonly message: string;
  readonly page: number;
  readonly firstPosition?: number;
  readonly lastPosition?: number;
  readonly stream?: string;
}

/** What is remembered of damage: a file of noise has no end of it. */
const MOST_DAMAGES = 10_000;

/** What is wrong with a file, in the words that its reader gets. */
export class XrayDamages {
  readonly found: XrayDamage[] = [];

  hotRow({ position, count }: HotRow, page: number): void {
    this.#row("hot", { firstPosition: position, lastPosition: position + count - 1 }, undefined, page);
  }

  packedRow(row: PackedRow, stream: string | undefined, page: number): void {
    this.#row("packed", row, stream, page);
  }

  page(page: number): void {
    const message = `Page ${page} holds rows that cannot be read: it is damaged.`;
    this.#add({ code: "damaged-page", message, page });
  }

  emptyPage(page: number): void {
    const message = `Page ${page} is nothing but zeros, and nothing says that it is free.`;
    this.#add({ code: "damaged-page", message, page });
  }

  orphan({ firstPosition, lastPosition, count }: PackedRow, page: number): void {
    const message = `Page ${page}: nothing says which stream the row of ${count} events at positions ${firstPosition} to ${lastPosition} belongs to, or it is damaged.`;
    this.#add({ code: "nameless-row", message, page, firstPosition, lastPosition });
  }

  #row(
    table: "hot" | "packed",
    { firstPosition, lastPosition }: Pick<PackedRow, "firstPosition" | "lastPosition">,
    stream: string | undefined,
    page: number,
  ): void {
    const whose = stream === undefined ? "" : ` of stream "${stream}"`;
    const message = `Page ${page}: the row of table ${table}${whose}, which says that it holds positions ${firstPosition} to ${lastPosition}, is damaged: it is not what its checksum says, or holds JSON that is none.`;
    this.#add({
      code: "damaged-row",
      message,
      page,
      firstPosition,
      lastPosition,
      ...(stream === undefined ? {} : { stream }),
    });
  }

  #add(damage: XrayDamage): void {
    if (this.found.length < MOST_DAMAGES) this.found.push(damage);
  }
}
