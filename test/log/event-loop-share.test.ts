import { setImmediate as round } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { EventLoopShare } from "../../src/log/event-loop-share.ts";

let now = 0;
const newShare = (): EventLoopShare => new EventLoopShare(4, 64, () => now);
const work = (ms: number): void => void (now += ms);

/** Asks so many times; gives the order in which they go on. */
function ask(share: EventLoopShare, count: number, first = 0): number[] {
  const goneOn: number[] = [];
  for (let index = first; index < first + count; index++) {
    const turn = share.turn();
    if (turn === undefined) goneOn.push(index);
    else void turn.then(() => goneOn.push(index));
  }
  return goneOn;
}

describe("a share of the event loop", () => {
  it("lets all go on at once while it is not used up", () => {
    expect(ask(newShare(), 100)).toHaveLength(100);
  });

  it("lets those that come then wait, and go on in the order of their calls, some in each round", async () => {
    const share = newShare();
    expect(ask(share, 1)).toEqual([0]);
    work(10);
    const waiting = ask(share, 100);
    expect(waiting).toEqual([]);
    await round();
    expect(waiting).toEqual(Array.from({ length: 64 }, (_, index) => index));
    // Nobody overtakes those who wait, though this round is young.
    const later = ask(share, 1);
    expect(later).toEqual([]);
    await round();
    expect(waiting).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(later).toEqual([0]);
  });

  it("lets more go on in a round where very many wait", async () => {
    const share = newShare();
    ask(share, 1);
    work(10);
    const waiting = ask(share, 1_600);
    await round();
    expect(waiting).toHaveLength(100);
    for (let rounds = 0; rounds < 40; rounds++) await round();
    expect(waiting).toEqual(Array.from({ length: 1_600 }, (_, index) => index));
  });

  it("is there anew in each round", async () => {
    const share = newShare();
    for (let rounds = 0; rounds < 3; rounds++) {
      expect(ask(share, 2)).toEqual([0, 1]);
      work(10);
      await round();
    }
  });
});
