/** Figures of what `measure` gave, by turn and by delta, and the ratios between candidates. */
import { spread } from "./rounds.js";

export const figures = {
  msPerTurn: ({ wallMs, turns }) => wallMs / turns,
  deltasPerSecond: ({ deltas, wallMs }) => (deltas / wallMs) * 1000,
  coreShare: ({ cpuMs, wallMs }) => (cpuMs / wallMs) * 100,
  cpuPerDelta: ({ cpuMs, deltas }) => (cpuMs * 1000) / deltas,
  writtenPerTurn: ({ handedBytes, turns }) => handedBytes / 1000 / turns,
  dirtiedPerTurn: ({ dirtiedBytes, turns }) => dirtiedBytes / 1000 / turns,
  keptPerTurn: ({ keptBytes, turns }) => keptBytes / 1000 / turns,
  loopDelay: ({ loopDelayMs }) => loopDelayMs,
  peakRss: ({ peakRssBytes }) => peakRssBytes / 1e6,
};

/** The median of a figure in the case with these parameters; undefined where it was not measured. */
export function medianOf(results, wanted, figure) {
  const found = results.find(({ parameters }) =>
    Object.entries(wanted).every(([name, value]) => parameters[name] === value),
  );
  return found && spread(found.rounds, figure)?.median;
}

/** How many times larger the figure is in one case than in another: the ratio of the medians. */
export function ratio(results, { of, to }, figure) {
  const above = medianOf(results, of, figure);
  const below = medianOf(results, to, figure);
  return above === undefined || below === undefined || below === 0 ? undefined : above / below;
}
