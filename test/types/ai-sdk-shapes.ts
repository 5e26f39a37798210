/**
 * Checked by `tsc`, never run: what the library hands out is what the AI SDK takes, and the other way round, for
 * the version that runs on Node 20 and for the newest one.
 */
import type * as ai from "ai";
import type * as newest from "ai-newest";
import type { recordStream } from "../../src/recording/record-ai-stream.ts";
import type { recordedTools } from "../../src/recording/recorded-tools.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { ModelMessage } from "../../src/store/model-message-types.ts";
import type { UIMessage } from "../../src/store/ui-message-types.ts";

declare const store: ConversationStore;
type Prompt = Awaited<ReturnType<typeof store.getMessages>>;
type Display = Awaited<ReturnType<typeof store.toUIMessages>>;
type Replacement = Parameters<typeof store.replaceMessages>[1][number];
type Recordable = Parameters<typeof recordStream>[1];

/** Fails to compile where `From` is not assignable to `To`. */
type Assignable<From extends To, To> = From;

export type Checks = [
  Assignable<Prompt, ai.ModelMessage[]>,
  Assignable<Prompt, newest.ModelMessage[]>,
  Assignable<Display, ai.UIMessage[]>,
  Assignable<Display, newest.UIMessage[]>,
  // A prompt of ours or of the SDK, its responses among them, can be put in a conversation's place.
  Assignable<ModelMessage, Replacement>,
  Assignable<ai.ModelMessage, Replacement>,
  Assignable<newest.ModelMessage, Replacement>,
  Assignable<ai.StreamTextResult<ai.ToolSet, never>["fullStream"], Recordable>,
  Assignable<newest.StreamTextResult<newest.ToolSet, never, never>["fullStream"], Recordable>,
  Assignable<ReturnType<typeof recordedTools<ai.ToolSet>>, ai.ToolSet>,
];

// The types must be able to fail.
// @ts-expect-error: a tool message has no text.
export type WrongPrompt = Assignable<{ role: "tool"; content: "text" }[], ai.ModelMessage[]>;
// @ts-expect-error: the SDK displays no tool messages.
export type WrongDisplay = Assignable<(Omit<UIMessage, "role"> & { role: "tool" })[], ai.UIMessage[]>;
