import { describe, expect, it } from "@jest/globals";
import type { ReplayStep } from "../../src/forensics/replay.ts";
import { type PlayerClock, ReplayPlayer } from "../../src/forensics/replay-player.ts";

/** Time that passes when it is told to. */
class HandClock implements PlayerClock {
  #now = 0;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((each) => each !== timer));
  }

  get waiting(): number {
    return this.#timers.length;
  }

  pass(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((each) => each !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = until;
  }
}

/** Steps of revision and wait. */
const stepsOf = (...steps: [revision: number, waitMs: number][]): ReplayStep[] =>
  steps.map(([revision, waitMs]) => ({ revision, waitMs, changes: [] }) as unknown as ReplayStep);

function playing(steps: ReplayStep[], speed = 1): { clock: HandClock; player: ReplayPlayer } {
  const clock = new HandClock();
  const player = new ReplayPlayer(steps, { clock, speed });
  player.play();
  return { clock, player };
}

describe("a player", () => {
  it("shows each step at its recorded distance from the one before", () => {
    const { clock, player } = playing(stepsOf([0, 0], [1, 100], [2, 0], [3, 50]));
    const shownAt = (ms: number): number => (clock.pass(ms), player.shown);
    expect([shownAt(0), shownAt(99), shownAt(1), shownAt(49), shownAt(1)]).toEqual([1, 1, 3, 3, 4]);
    expect(player.state).toBe("end");
    expect(clock.waiting).toBe(0);
  });

  it("is as much faster as its speed says, also when that changes on the way", () => {
    const { clock, player } = playing(stepsOf([0, 100], [1, 100], [2, 100]), 4);
    clock.pass(25);
    expect(player.shown).toBe(1);
    player.speed = 0.5;
    clock.pass(199);
    expect(player.shown).toBe(1);
    clock.pass(1);
    expect(player.shown).toBe(2);
  });

  it("does not fall behind when showing is slow: what is due is shown together", () => {
    const clock = new HandClock();
    const seen: number[] = [];
    const player: ReplayPlayer = new ReplayPlayer(stepsOf([0, 10], [1, 10], [2, 10], [3, 10], [4, 10]), {
      clock,
      onChange: () => seen.push(player.shown),
    });
    player.play();
    const late = clock.after.bind(clock);
    clock.after = (ms, run) => late(ms + 25, run); // The event loop is busy elsewhere.
    player.play();
    clock.pass(35);
    expect(player.shown).toBe(3);
    clock.pass(1000);
    expect(player.shown).toBe(5);
    expect(seen.toSorted((a, b) => a - b)).toEqual(seen);
  });

  it("pauses, goes on with the whole wait, and plays again from the end", () => {
    const { clock, player } = playing(stepsOf([0, 10], [1, 10]));
    clock.pass(5);
    player.toggle();
    clock.pass(1000);
    expect({ state: player.state, shown: player.shown, waiting: clock.waiting }).toEqual({
      state: "paused",
      shown: 0,
      waiting: 0,
    });
    player.toggle();
    clock.pass(20);
    expect(player.state).toBe("end");
    player.toggle();
    expect({ state: player.state, shown: player.shown }).toEqual({ state: "playing", shown: 0 });
    player.stop();
    expect(clock.waiting).toBe(0);
  });

  it("steps delta by delta and event by event, never past an end", () => {
    const { player } = playing(stepsOf([0, 0], [1, 0], [1, 0], [1, 0], [2, 0]));
    const after = (move: () => void): number => (move(), player.shown);
    player.pause();
    const [back, on] = [() => player.stepBy(-1), () => player.stepBy(1)];
    const [eventBack, eventOn] = [() => player.eventBy(-1), () => player.eventBy(1)];
    expect([after(back), after(on), after(on), after(eventOn), after(eventOn), after(eventOn)]).toEqual([
      0, 1, 2, 4, 5, 5,
    ]);
    expect([after(back), after(back), after(eventBack), after(eventBack), after(eventBack)]).toEqual([
      4, 3, 1, 0, 0,
    ]);
    expect(player.state).toBe("paused");
  });

  it("does not wait for a repair: that came when somebody ran it", () => {
    const steps = stepsOf([0, 0], [1, 7_200_000]);
    steps[1]!.changes.push({ kind: "turn-ended", isRepair: true } as never);
    const { clock, player } = playing(steps);
    clock.pass(0);
    expect(player.state).toBe("end");
  });

  it("waits longer than a timer can", () => {
    const { clock, player } = playing(stepsOf([0, 2 ** 33]));
    clock.pass(2 ** 33 - 1);
    expect(player.shown).toBe(0);
    clock.pass(1);
    expect(player.shown).toBe(1);
  });

  it("has nothing to play where there are no steps", () => {
    const { clock, player } = playing([]);
    expect({ state: player.state, waiting: clock.waiting }).toEqual({ state: "end", waiting: 0 });
  });
});
