import { afterEach, beforeEach, describe, expect, it, jest } from "@jest/globals";
import { FlushScheduler } from "../../src/store/flush-scheduler.ts";

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** Schedules so many turns at once; returns who has been flushed, in order. */
function schedule(scheduler: FlushScheduler, turns: number): number[] {
  const flushed: number[] = [];
  for (let index = 0; index < turns; index++) {
    scheduler.schedule({ flushWindow: () => void flushed.push(index) });
  }
  return flushed;
}

/** The window's time, and so many rounds of the event loop that all its slices have had theirs. */
const endWindow = (ms: number): void => {
  jest.advanceTimersByTime(ms);
  for (let round = 0; round < 100; round++) jest.advanceTimersByTime(1);
};

describe("the window of a store", () => {
  it("is 20 ms from the first delta on, for all turns that have deltas by then", () => {
    const scheduler = new FlushScheduler();
    const flushed = schedule(scheduler, 3);
    jest.advanceTimersByTime(19);
    expect(flushed).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(flushed).toEqual([0, 1, 2]);
  });

  it.each([
    [200, 20],
    [500, 50],
    [1_000, 100],
    [5_000, 100],
  ])("behind one of %i turns is %i ms long", (turns, windowMs) => {
    const scheduler = new FlushScheduler();
    expect(schedule(scheduler, turns)).toEqual([]);
    endWindow(20);
    const flushed = schedule(scheduler, 1);
    jest.advanceTimersByTime(windowMs - 1);
    expect(flushed).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(flushed).toEqual([0]);
  });

  it("is as long as it was asked for, however many turns there are", () => {
    const scheduler = new FlushScheduler(1_000);
    for (let window = 0; window < 3; window++) {
      const flushed = schedule(scheduler, 1_000);
      endWindow(1_000);
      expect(flushed).toHaveLength(1_000);
    }
  });

  it("flushes many turns in slices, between which the event loop has its turn", () => {
    const scheduler = new FlushScheduler(1_000);
    const flushed = schedule(scheduler, 1_000);
    jest.advanceTimersByTime(1_000);
    // Even the first of them shares its round with what else can wait.
    expect(flushed).toEqual([]);
    jest.advanceTimersByTime(1);
    expect(flushed.length).toBeGreaterThan(0);
    expect(flushed.length).toBeLessThan(1_000);
    // What comes meanwhile opens a window of its own.
    const later = schedule(scheduler, 1);
    endWindow(0);
    expect(flushed).toEqual(Array.from({ length: 1_000 }, (_, index) => index));
    expect(later).toEqual([]);
    endWindow(1_000);
    expect(later).toEqual([0]);
  });

  it("flushes nothing once it has been stopped", () => {
    const scheduler = new FlushScheduler(1_000);
    const flushed = schedule(scheduler, 1_000);
    jest.advanceTimersByTime(1_001);
    const first = flushed.length;
    expect(first).toBeGreaterThan(0);
    scheduler.stop();
    const waiting = schedule(scheduler, 1);
    scheduler.stop();
    endWindow(2_000);
    expect(flushed).toHaveLength(first);
    expect(waiting).toEqual([]);
  });
});
