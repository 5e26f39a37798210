import { readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { modelMessageSchema, safeValidateUIMessages, streamText } from "ai";
import { modelMessageSchema as newestModelMessageSchema } from "ai-newest";
import { recordLines } from "../../src/recording/record-stream.ts";
import { withStore } from "../support/memory-store.ts";
import { recordings, sayThatThereAreNoRecordings } from "../support/recordings.ts";
import { finish, scriptedModel, text } from "../support/scripted-model.ts";

/** What providers really sent, whole and cut off in the middle, makes a prompt that the SDK sends on. */

const samples = fileURLToPath(new URL("../samples", import.meta.url));
async function expectPrompt(stream: string): Promise<void> {
  await withStore(async (store) => {
    const turn = await store.beginTurn("s", { user: "Go." });
    await recordLines(
      turn,
      (async function* () {
        yield stream;
      })(),
    );
    await store.saveMessage("s", "user", "Go on.");
    const shown = await store.toUIMessages("s");
    expect(await safeValidateUIMessages({ messages: shown })).toMatchObject({ success: true });
    for (const reasoning of [false, true]) {
      const prompt = await store.getMessages("s", { limit: Infinity, reasoning });
      for (const message of prompt) {
        expect(modelMessageSchema.safeParse(message)).toMatchObject({ success: true });
        expect(newestModelMessageSchema.safeParse(message)).toMatchObject({ success: true });
      }
      const model = scriptedModel([...text("Ok."), finish()]);
      const errors: unknown[] = [];
      const result = streamText({ model, messages: prompt, onError: ({ error }) => void errors.push(error) });
      await result.consumeStream();
      expect(errors).toEqual([]);
      expect(model.doStreamCalls).toHaveLength(1);
    }
    const prompt = await store.getMessages("s", { limit: Infinity, reasoning: true });
    await store.replaceMessages("s", prompt);
    expect(await store.getMessages("s", { limit: Infinity, reasoning: true })).toEqual(prompt);
  });
}

function check(streams: readonly { name: string; stream: string }[]): void {
  it.each(streams)("$name", async ({ stream }) => {
    const lines = stream.split("\n");
    for (const tenths of [10, 8, 5, 3, 1])
      await expectPrompt(lines.slice(0, Math.ceil((lines.length * tenths) / 10)).join("\n"));
  });
}

describe("the prompt of an own sample, whole and cut off, is accepted:", () => {
  check(
    readdirSync(samples).map((name) => ({
      name,
      stream: readFileSync(path.join(samples, name), "utf8"),
    })),
  );
});

describe("the prompt of a provider's recording, whole and cut off, is accepted:", () => {
  const recorded = recordings();
  if (recorded.length > 0) return check(recorded);
  it("they are not on this machine: set TURNLOG_RECORDINGS to their folder to check them", () => {
    sayThatThereAreNoRecordings("Prompts were checked");
  });
});
