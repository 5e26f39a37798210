import { describe, expect, it } from "@jest/globals";
import { StateError } from "../../src/errors.ts";
import { recordLines } from "../../src/recording/record-stream.ts";
import { chatChunk, fakeTurn, inPieces, joined, jsonLines, record } from "./recording-support.ts";

const good = jsonLines(chatChunk("Hello"), chatChunk(" you"), chatChunk("", "stop"));

describe("deltas wait for the log, structural calls do not", () => {
  it("reads on only when the turn can take more", async () => {
    let resolve = (): void => {};
    const ready = new Promise<void>((resolved) => {
      resolve = resolved;
    });
    let isFirst = true;
    const { turn, calls } = fakeTurn({
      textDelta: () => {
        if (!isFirst) return Promise.resolve();
        isFirst = false;
        setImmediate(() => {
          calls.push("ready");
          resolve();
        });
        return ready;
      },
    });
    await recordLines(turn, inPieces(good));
    expect(calls).toEqual(["textDelta", "ready", "textDelta", "stepFinish", "finish"]);
  });

  it("makes the next call before a structural one is acknowledged, and finishes after all of them", async () => {
    const acknowledged: string[] = [];
    const slowly = (name: string) => () =>
      new Promise<void>((resolve) => {
        setImmediate(() => {
          acknowledged.push(name);
          resolve();
        });
      });
    const { turn, calls } = fakeTurn({
      toolInputStart: slowly("toolInputStart"),
      toolCall: slowly("toolCall"),
      finish: () => {
        acknowledged.push("finish");
        return Promise.resolve();
      },
    });
    const message = { tool_calls: [{ id: "a", function: { name: "f", arguments: "" } }] };
    await recordLines(
      turn,
      inPieces(jsonLines({ id: "c1", choices: [{ message, finish_reason: "tool_calls" }] })),
    );
    expect(calls).toEqual(["toolInputStart", "toolCall", "stepFinish", "finish"]);
    expect(acknowledged).toEqual(["toolInputStart", "toolCall", "finish"]);
  });
});

describe("structural calls", () => {
  it("wait for the log when 64 of them are on their way", async () => {
    let underWay = 0;
    let most = 0;
    const { turn } = fakeTurn({
      source: () => {
        most = Math.max(most, ++underWay);
        return new Promise((resolve) => {
          setImmediate(() => {
            underWay--;
            resolve();
          });
        });
      },
    });
    const citations = Array.from({ length: 1000 }, (_, index) => `https://pages.example/${index}`);
    await recordLines(turn, inPieces(jsonLines({ ...chatChunk("x", "stop"), citations })));
    expect(most).toBe(64);
    expect(underWay).toBe(0);
  });
});

describe("an input that takes its time to close", () => {
  it("is waited for, so that nothing of it is left when the recording ends", async () => {
    let isClosed = false;
    async function* slow(): AsyncGenerator<string> {
      try {
        for (;;) yield "oops\n";
      } finally {
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        isClosed = true;
      }
    }
    await recordLines(fakeTurn().turn, slow());
    expect(isClosed).toBe(true);
  });
});

describe("a signal", () => {
  it("aborts the turn while the input is silent", async () => {
    const controller = new AbortController();
    let isSilent = (): void => {};
    const silent = new Promise<void>((resolve) => {
      isSilent = resolve;
    });
    async function* stalling(): AsyncGenerator<string> {
      yield jsonLines(chatChunk("Hello"));
      isSilent();
      await new Promise(() => {});
    }
    void silent.then(() => controller.abort(new Error("Ctrl-C")));
    const { summary, message, parts } = await record(stalling(), { signal: controller.signal });
    expect(summary).toMatchObject({ outcome: "aborted", error: { message: "Ctrl-C" } });
    expect(message.status).toBe("aborted");
    expect(joined(parts, "text")).toBe("Hello");
  });

  it("aborts during the pause between two lines", async () => {
    const controller = new AbortController();
    const { summary } = await record(good, {
      paceMs: 1_000_000,
      signal: controller.signal,
      onProgress: () => setImmediate(() => controller.abort()),
    });
    expect(summary).toMatchObject({ outcome: "aborted", chunks: 1 });
  });

  it("that was given before ends the turn before anything is read", async () => {
    const { summary, message } = await record(good, { signal: AbortSignal.abort() });
    expect(summary).toMatchObject({ outcome: "aborted", chunks: 0 });
    expect(message.status).toBe("aborted");
  });

  it("may be the turn's own, which has then aborted itself", async () => {
    const ended = new StateError("turn-ended", "ended");
    const controller = new AbortController();
    const { turn, calls } = fakeTurn({
      textDelta: () => {
        controller.abort();
        return Promise.reject(ended);
      },
      abort: () => Promise.reject(ended),
    });
    const summary = await recordLines(turn, inPieces(good), { signal: controller.signal });
    expect(summary.outcome).toBe("aborted");
    expect(calls).toEqual(["textDelta", "abort", "flush"]);
  });

  it("leaves no listener behind", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => void (listeners++, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => void (listeners--, remove(...args));
    await record(good, { signal });
    expect(listeners).toBe(0);
  });
});

describe("the pace", () => {
  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])("cannot be %d", async (paceMs) => {
    const { turn, calls } = fakeTurn();
    await expect(recordLines(turn, inPieces(good), { paceMs })).rejects.toMatchObject({
      code: "invalid-pace",
    });
    expect(calls).toEqual([]);
  });

  it("changes nothing of what is recorded", async () => {
    const { summary, parts } = await record(good, { paceMs: 1 });
    expect(summary.outcome).toBe("finished");
    expect(joined(parts, "text")).toBe("Hello you");
  });
});
