import { textWidth, truncateText } from "./terminal-text.ts";

export interface Column {
  title: string;
  align?: "right";
  /** Wider cells are cut with …. */
  maxWidth?: number;
}

/** Lines of a table: header first, columns as wide as they need. Cells are safe text of one line. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows].map((row) =>
    columns.map(({ maxWidth }, index) => truncateText(row[index] ?? "", maxWidth ?? Infinity)),
  );
  const widths = columns.map((_, index) => Math.max(...cells.map((row) => textWidth(row[index] ?? ""))));
  return cells.map((row) =>
    row
      .map((cell, index) => pad(cell, widths[index] ?? 0, columns[index]?.align === "right"))
      .join("  ")
      .trimEnd(),
  );
}

function pad(cell: string, width: number, isRight: boolean): string {
  const space = " ".repeat(Math.max(0, width - textWidth(cell)));
  return isRight ? space + cell : cell + space;
}
