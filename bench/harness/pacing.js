/**
 * When a session hands over its next delta. Every delta is handed over in a turn of the event loop of its own, as
 * callbacks of a network stream are: a loop of resolved promises would never let a timer or a write through.
 */

/** One promise for everyone who waits for the next turn of the event loop. */
function sharedImmediate() {
  let next;
  return () => {
    next ??= new Promise((resolve) => {
      setImmediate(() => {
        next = undefined;
        resolve();
      });
    });
    return next;
  };
}

/** Closed loop: as soon as the store has taken the delta before. */
function closedLoop() {
  const nextTurn = sharedImmediate();
  return { start() {}, next: nextTurn, scheduledMs: () => 0 };
}

/**
 * Open loop: each session at its own moments, spread evenly over the interval; a session that is behind hands
 * over as soon as the store has taken the delta before.
 */
function paced(perSecond, sessions) {
  const intervalMs = 1000 / perSecond;
  const nextTurn = sharedImmediate();
  const waiting = new Map();
  let start = 0;
  let timer;
  const wake = () => {
    timer = undefined;
    const now = performance.now() - start;
    let earliest = Infinity;
    for (const [ms, resolves] of waiting) {
      if (ms > now) earliest = Math.min(earliest, ms);
      else {
        waiting.delete(ms);
        for (const resolve of resolves) resolve();
      }
    }
    if (earliest < Infinity) timer ??= setTimeout(wake, Math.max(1, earliest - now));
  };
  return {
    start() {
      start = performance.now();
    },
    next(session, delta) {
      const due = (delta + session / sessions) * intervalMs;
      const now = performance.now() - start;
      if (due <= now) return nextTurn();
      const ms = Math.ceil(due); // Timers know whole milliseconds: those of one millisecond share one.
      return new Promise((resolve) => {
        const resolves = waiting.get(ms);
        if (resolves === undefined) waiting.set(ms, [resolve]);
        else resolves.push(resolve);
        timer ??= setTimeout(wake, Math.max(1, ms - now));
      });
    },
    scheduledMs: (deltas) => deltas * intervalMs,
  };
}

/** @param {number | undefined} deltasPerSecond for each session; undefined is the closed loop. */
export function pacing(deltasPerSecond, sessions) {
  return deltasPerSecond === undefined ? closedLoop() : paced(deltasPerSecond, sessions);
}
