/** Figures and times as the commands print them. */

/** `12,345`. Not by `toLocaleString`: loading the locale takes longer than some commands. */
export function count(value: number): string {
  return String(value).replace(/\B(?<!\.\d*)(?=(?:\d{3})+(?!\d))/g, ",");
}

/** `1 delta`, `2 deltas` */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** `512 B`, `14.2 KB`, `1.3 MB`; a kilobyte is 1,000 bytes. */
export function bytes(value: number): string {
  if (value < 1000) return `${value} B`;
  const units = ["KB", "MB", "GB", "TB"];
  let scaled = value / 1000;
  let unit = 0;
  while (scaled >= 999.95 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${scaled.toFixed(1)} ${units[unit]}`;
}

/** UTC to the second, in a form that `--at` takes. */
export function utcSeconds(time: Date): string {
  return Number.isNaN(time.getTime()) ? "?" : time.toISOString().replace(/\.\d+Z$/, "Z");
}

/** UTC to the millisecond. */
export function utcMilliseconds(epochMs: unknown): string {
  const time = new Date(typeof epochMs === "number" ? epochMs : Number.NaN);
  return Number.isNaN(time.getTime()) ? "?" : time.toISOString();
}

/** `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 10 min` */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return `${count(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}
