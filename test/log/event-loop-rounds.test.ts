import { setImmediate as round } from "node:timers/promises";
import { describe, expect, it } from "@jest/globals";
import { EventLoopRounds } from "../../src/log/event-loop-rounds.ts";

let now = 0;
const newRounds = (): EventLoopRounds => new EventLoopRounds(4, () => now);
const work = (ms: number): void => void (now += ms);
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Hands over so many pieces that each take a while; gives the order in which they run. */
function schedule(rounds: EventLoopRounds, count: number, ms: number): number[] {
  const ran: number[] = [];
  for (let index = 0; index < count; index++)
    rounds.schedule(() => {
      work(ms);
      ran.push(index);
    });
  return ran;
}

/** Asks for so many turns; gives the order in which they go on. */
function ask(rounds: EventLoopRounds, count: number): number[] {
  const goneOn: number[] = [];
  for (let index = 0; index < count; index++) {
    const turn = rounds.turn();
    if (turn === undefined) goneOn.push(index);
    else void turn.then(() => goneOn.push(index));
  }
  return goneOn;
}

describe("pieces of work that wait for a round of the event loop", () => {
  it("run in the next one, in their order, while they take no more than the share", async () => {
    const ran = schedule(newRounds(), 4, 1);
    expect(ran).toEqual([]);
    await round();
    expect(ran).toEqual(numbers(4));
  });

  it("leave what is beyond the share to the next rounds", async () => {
    const ran = schedule(newRounds(), 10, 1);
    await round();
    expect(ran).toEqual(numbers(4));
    await round();
    expect(ran).toEqual(numbers(8));
    await round();
    expect(ran).toEqual(numbers(10));
  });

  it("have one at least in each round, however long others take", async () => {
    const ran = schedule(newRounds(), 3, 100);
    for (let rounds = 1; rounds <= 3; rounds++) {
      await round();
      expect(ran).toHaveLength(rounds);
    }
  });

  it("have more where very many wait", async () => {
    const ran = schedule(newRounds(), 640, 100);
    await round();
    expect(ran).toHaveLength(10);
  });

  it("count what the promises that they resolve do as their own time", async () => {
    const rounds = newRounds();
    const ran: number[] = [];
    for (let index = 0; index < 3; index++)
      rounds.schedule(
        () =>
          void Promise.resolve()
            .then(() => work(3))
            .then(() => ran.push(index)),
      );
    await round();
    expect(ran).toEqual([0, 1]);
  });

  it("may hand over others, which run behind those that wait, in a later round", async () => {
    const rounds = newRounds();
    const ran: string[] = [];
    rounds.schedule(() => {
      ran.push("first");
      rounds.schedule(() => ran.push("first's"));
    });
    rounds.schedule(() => ran.push("second"));
    await round();
    expect(ran).toEqual(["first", "second"]);
    await round();
    expect(ran).toEqual(["first", "second", "first's"]);
  });

  it("do not run once they have been taken back", async () => {
    const rounds = newRounds();
    let ran = 0;
    const takeBack = rounds.schedule(() => void (ran += 1));
    rounds.schedule(() => void (ran += 10));
    takeBack();
    takeBack();
    await round();
    await round();
    expect(ran).toBe(10);
  });

  it("leave the others their turn where one of them throws", async () => {
    const rounds = newRounds();
    const thrown: unknown[] = [];
    const ran: string[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => void thrown.push(error));
    try {
      rounds.schedule(() => {
        throw new Error("a bug");
      });
      rounds.schedule(() => ran.push("the next"));
      await round();
      await round();
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
    expect(thrown).toEqual([new Error("a bug")]);
    expect(ran).toEqual(["the next"]);
  });

  it("run thousands, each once and in order", async () => {
    const rounds = newRounds();
    const ran = schedule(rounds, 5_000, 0.01);
    for (let count = 0; count < 50; count++) await round();
    expect(ran).toEqual(numbers(5_000));
  });
});

describe("turns of the event loop", () => {
  it("are given at once while the share is not used up", () => {
    expect(ask(newRounds(), 100)).toHaveLength(100);
  });

  it("are given in later rounds then, in the order of the calls", async () => {
    const rounds = newRounds();
    expect(ask(rounds, 1)).toEqual([0]);
    work(10);
    const goneOn: string[] = [];
    for (const name of ["first", "second", "third"])
      void rounds.turn()?.then(() => {
        work(3);
        goneOn.push(name);
      });
    await round();
    expect(goneOn).toEqual(["first", "second"]);
    // Nobody overtakes those who wait.
    now = 0;
    void rounds.turn()?.then(() => goneOn.push("last"));
    await round();
    expect(goneOn).toEqual(["first", "second", "third", "last"]);
  });

  it("share the round with the pieces", async () => {
    const rounds = newRounds();
    const ran = schedule(rounds, 1, 10);
    await round();
    expect(ran).toEqual([0]);
    const goneOn = ask(rounds, 1);
    expect(goneOn).toEqual([]);
    await round();
    expect(goneOn).toEqual([0]);
  });

  it("are there anew in each round", async () => {
    const rounds = newRounds();
    for (let count = 0; count < 3; count++) {
      expect(ask(rounds, 2)).toEqual([0, 1]);
      work(10);
      await round();
    }
  });
});
