/**
 * When a session hands over its next delta: always one after the other, and never for long without a turn of the event
 * loop, as with the callbacks of a network stream. A loop of resolved promises would never let a timer or a write
 * through. Plain callbacks, so that the driver costs little beside what it drives.
 */

/** Runs all steps that were handed in since, in one next turn of the event loop. */
function nextTurn() {
  let steps = [];
  const runAll = () => {
    const due = steps;
    steps = [];
    for (const step of due) step();
  };
  return (step) => {
    if (steps.length === 0) setImmediate(runAll);
    steps.push(step);
  };
}

/** Closed loop: as soon as the store has taken the delta before. */
function closedLoop(burst) {
  const inNextTurn = nextTurn();
  const schedule = (step, _session, delta) => (delta % burst === 0 ? inNextTurn(step) : step());
  return { start() {}, schedule, scheduledMs: () => 0 };
}

/**
 * Open loop: each session at its own moments, spread evenly over the interval; a session that is behind hands
 * over as soon as the store has taken the delta before.
 */
function paced(perSecond, sessions) {
  const intervalMs = 1000 / perSecond;
  const immediately = nextTurn();
  /** Steps by the millisecond in which they are due: timers know no finer time, so one serves them all. */
  const waiting = new Map();
  let start = 0;
  let timer;
  const wake = () => {
    timer = undefined;
    const now = performance.now() - start;
    let earliest = Infinity;
    for (const [ms, steps] of waiting) {
      if (ms > now) earliest = Math.min(earliest, ms);
      else {
        waiting.delete(ms);
        for (const step of steps) step();
      }
    }
    if (earliest < Infinity) timer ??= setTimeout(wake, Math.max(1, earliest - now));
  };
  return {
    start() {
      start = performance.now();
    },
    schedule(step, session, delta) {
      const due = (delta + session / sessions) * intervalMs;
      const now = performance.now() - start;
      if (due <= now) return immediately(step);
      const ms = Math.ceil(due);
      const steps = waiting.get(ms);
      if (steps === undefined) waiting.set(ms, [step]);
      else steps.push(step);
      timer ??= setTimeout(wake, Math.max(1, ms - now));
    },
    scheduledMs: (deltas) => deltas * intervalMs,
  };
}

/**
 * @param {number | undefined} deltasPerSecond for each session; undefined is the closed loop.
 * @param burst in the closed loop, how many deltas a turn of the event loop brings each session: a read from a socket
 * brings several
 */
export function pacing(deltasPerSecond, sessions, burst = 1) {
  return deltasPerSecond === undefined ? closedLoop(burst) : paced(deltasPerSecond, sessions);
}
