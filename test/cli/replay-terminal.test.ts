import { randomUUID } from "node:crypto";
import { describe, expect, it } from "@jest/globals";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { withStoreFile } from "./cli-support.ts";
import { TerminalSession, hasPseudoTerminal } from "./pseudo-terminal.ts";

const HOUR = 3_600_000;

/** A turn whose deltas came hours apart, so that nothing moves in a test unless a key moves it. */
async function fillSlowly(store: ConversationStore): Promise<void> {
  const texts = ["one ", "two ", "three"];
  const opened = '[{"kind":"text","text":"';
  const at = opened.length;
  const marks = texts.map((text, index) => [index === 0 ? 0 : HOUR, text.length]);
  const events: [type: string, data: object, hours: number, cause?: string][] = [
    ["MessageSaved", { messageId: 1, role: "user", format: "text", content: "Count." }, 0],
    ["AssistantStubAppended", { messageId: 2, content: "[]" }, 0],
    ["TurnStarted", { turnId: "t", messageId: 2, kind: "new" }, 0],
    ["BranchesUpdated", { messageId: 2, content: [[0, 2, `${opened}zero "}]`]] }, 1, "delta"],
    ["BranchesUpdated", { messageId: 2, content: [[at + 5, 0, texts.join("")]], marks }, 2, "delta"],
    ["TurnEnded", { turnId: "t", messageId: 2, outcome: "finished", content: { length: 0, crc32: 0 } }, 5],
  ];
  await store.log.append(
    "conversation-s",
    events.map(([type, data, hours, cause], n) => ({
      id: randomUUID(),
      type,
      data: data as never,
      metadata: {
        v: 1,
        writer: "w",
        n,
        time: hours * HOUR,
        ...(cause === undefined ? {} : { cause, turnId: "t" }),
      },
    })),
    "no-stream",
  );
}

async function onTerminal(
  args: string[],
  use: (terminal: TerminalSession) => Promise<void>,
  fill = fillSlowly,
): Promise<void> {
  await withStoreFile(fill, async (store) => {
    const terminal = new TerminalSession([...args, "--store", store]);
    try {
      await use(terminal);
    } finally {
      terminal.kill();
      await terminal.ended();
    }
  });
}

const [LEFT, RIGHT, UP, DOWN] = ["\u001b[D", "\u001b[C", "\u001b[A", "\u001b[B"] as const;

/** Without python3 there is nothing to make a terminal with. */
const describeOnTerminal = hasPseudoTerminal ? describe : describe.skip;

describeOnTerminal("turnlog replay on a terminal (needs python3)", () => {
  it("steps by the keys: deltas, events, to both ends", () =>
    onTerminal(["replay", "s"], async (terminal) => {
      // What came at once is shown at once; the first delta is an hour away.
      expect(await terminal.shows(/playing · 3\/8 · at 2 /)).toContain("Count.");
      terminal.type(RIGHT);
      expect(await terminal.shows(/paused · 4\/8 · at 3 /)).toContain("zero");
      terminal.type(RIGHT);
      expect(await terminal.shows(/paused · 5\/8 · at 4\+1 · 7200\.000 s/)).toMatch(/zero one\s/);
      terminal.type(DOWN);
      expect(await terminal.shows(/paused · 7\/8 · at 4 · 14400\.000 s/)).toContain("zero one two three");
      terminal.type(LEFT);
      const back = await terminal.shows(/paused · 6\/8 · at 4\+2 /);
      expect(back).toContain("zero one two");
      expect(back).not.toContain("three");
      terminal.type(UP);
      expect(await terminal.shows(/paused · 4\/8 · at 3 /)).not.toContain("one");
      for (let press = 0; press < 6; press++) terminal.type(UP);
      expect(await terminal.shows(/paused · 0\/8 · at - /)).not.toContain("Count.");
      for (let press = 0; press < 9; press++) terminal.type(DOWN);
      expect(await terminal.shows(/end · 8\/8 · at 5 /)).toContain("finished");
      terminal.type("q");
      expect(await terminal.ended()).toBe(0);
      expect(terminal.output).toMatch(
        /Stopped at 5\. To see it as it was there:\r\n {2}turnlog show s --at 5 --store /,
      );
    }));

  it("space pauses and goes on, + and - change the speed, space at the end plays again", () =>
    onTerminal(["replay", "s"], async (terminal) => {
      await terminal.shows(/playing · 3\/8 .* ×1 /);
      terminal.type(" ");
      await terminal.shows(/paused · 3\/8/);
      terminal.type(" ");
      await terminal.shows(/playing · 3\/8/);
      terminal.type("+");
      await terminal.shows(/playing · 3\/8 .* ×2 /);
      terminal.type("--");
      await terminal.shows(/playing · 3\/8 .* ×0\.5 /);
      terminal.type(DOWN.repeat(5));
      await terminal.shows(/end · 8\/8/);
      terminal.type(" ");
      await terminal.shows(/playing · 3\/8/);
      terminal.type("q");
      expect(await terminal.ended()).toBe(0);
    }));

  it("plays to the end by itself, and stays there", () =>
    onTerminal(["replay", "s", "--speed", "1000000"], async (terminal) => {
      expect(await terminal.shows(/end · 8\/8/)).toContain("zero one two three");
      terminal.type(LEFT);
      await terminal.shows(/paused · 7\/8/);
      terminal.type("q");
      expect(await terminal.ended()).toBe(0);
    }));

  it("leaves the terminal as it was, also after Ctrl-C, with exit 130", () =>
    onTerminal(["replay", "s"], async (terminal) => {
      await terminal.shows(/playing · 3\/8/);
      terminal.type("\u0003");
      expect(await terminal.ended()).toBe(130);
      expect(terminal.output).toContain("\u001b[?25h\u001b[?1049l");
    }));

  it("prints it at once with --speed 0, and JSON with --json, without taking the screen", () =>
    onTerminal(["replay", "s", "--speed", "0"], async (terminal) => {
      expect(await terminal.ended()).toBe(0);
      expect(terminal.output).toContain("zero one two three");
      expect(terminal.output).not.toContain("\u001b[?1049h");
    }));

  it("shows no control characters of what it plays", () =>
    onTerminal(
      ["replay", "last", "--speed", "1000000"],
      async (terminal) => {
        const screen = await terminal.shows(/end · /);
        expect(screen).toContain("\\x1b]0;owned\\x07");
        expect(screen).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
        terminal.type("q");
        expect(await terminal.ended()).toBe(0);
      },
      async (store) => {
        const evil = "\u001b]0;owned\u0007\u009b31m\u202e";
        const turn = await store.beginTurn(`s\u202e`, { user: evil, model: evil });
        void turn.textDelta(evil);
        void turn.reasoningDelta(evil);
        void turn.toolCall({ toolId: evil, name: evil, input: evil });
        void turn.toolError(evil, evil);
        void turn.source({ url: evil });
        await turn.fail({ message: evil });
      },
    ));
});
