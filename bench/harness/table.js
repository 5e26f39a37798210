/** Markdown tables: read well on a terminal, and can be pasted into docs/performance.md as they are. */

/** @param {string[]} head @param {string[][]} rows */
export function table(head, rows) {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column].length)));
  const line = (cells) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Three significant digits, no exponent. */
export function number(value) {
  if (value === undefined) return "–";
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", {
    minimumFractionDigits: Math.min(digits, 2),
    maximumFractionDigits: Math.min(digits, 2),
  });
}

/** `median (min–max)`, or the value alone where there was one round. */
export function withSpread(figure) {
  if (figure === undefined) return "–";
  const { median, min, max } = figure;
  return min === max ? number(median) : `${number(median)} (${number(min)}–${number(max)})`;
}

/**
 * A target that the figure of this run is held against, and an aim beyond it; a figure that is not finite was not
 * measured.
 */
function target(what, value, sign, { wanted, aim }, isMet) {
  const isMeasured = Number.isFinite(value);
  return {
    what,
    value: isMeasured ? value : undefined,
    target: `${sign} ${wanted.toLocaleString("en")}`,
    ...(aim === undefined
      ? {}
      : { aim: `${sign} ${aim.toLocaleString("en")}`, reachesAim: isMeasured ? isMet(aim) : undefined }),
    holds: isMeasured ? isMet(wanted) : undefined,
  };
}

export function atLeast(what, value, wanted, aim) {
  return target(what, value, "≥", { wanted, aim }, (least) => value >= least);
}

export function below(what, value, wanted, aim) {
  return target(what, value, "<", { wanted, aim }, (limit) => value < limit);
}

function verdict({ holds, reachesAim }) {
  if (holds === undefined) return "not measured";
  if (!holds) return "MISSED";
  return reachesAim === undefined ? "holds" : reachesAim ? "reaches the aim" : "holds; aim missed";
}

export function targetTable(targets) {
  if (targets.length === 0) return "";
  const rows = targets.map((each) => [
    each.what,
    each.target,
    each.aim ?? "–",
    number(each.value),
    verdict(each),
  ]);
  return table(["target", "wanted", "aim", "this run", ""], rows);
}
