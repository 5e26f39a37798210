import type { ConversationStore } from "../../src/store/conversation-store.ts";
import type { JsonObject, NewEvent } from "../../src/log/event-log.ts";
import { ownProcessFacts } from "../../src/store/process-facts.ts";

/** Events with times and processes of one's own choice, as no store would write them today. */

/** 2026-11-24T02:13:00.000Z */
export const BEGAN = Date.UTC(2026, 10, 24, 2, 13, 0);

export class EventScript {
  readonly #store: ConversationStore;
  readonly #writer: string;
  #n = 0;

  /** @param writer 20 hexadecimal digits */
  constructor(store: ConversationStore, writer = "00000000000080000000") {
    this.#store = store;
    this.#writer = writer;
  }

  /** A writer of a process that is long gone, or of the process that the facts name. */
  async writerStarted(atMs: number, facts: JsonObject = {}): Promise<void> {
    await this.#sign("WriterStarted", atMs, facts);
  }

  async heartbeat(atMs: number, facts: JsonObject = {}): Promise<void> {
    await this.#sign("WriterHeartbeat", atMs, facts);
  }

  async #sign(type: string, atMs: number, facts: JsonObject): Promise<void> {
    const process = { ...ownProcessFacts(), host: "agent-7", pid: 4242, pidStart: "1" } as JsonObject;
    const data = {
      ...process,
      heartbeatMs: 10_000,
      library: "turnlog 0.1.0",
      label: "support agent",
      ...facts,
    };
    await this.append(`writer-${this.#writer}`, [this.event(type, data, atMs)]);
  }

  /** @param atMs after BEGAN */
  event(type: string, data: JsonObject, atMs: number, metadata: JsonObject = {}): NewEvent {
    const n = this.#n++;
    const prefix = `${this.#writer.slice(0, 8)}-${this.#writer.slice(8, 12)}-${this.#writer.slice(12, 16)}-8${this.#writer.slice(17, 20)}`;
    return {
      id: `${prefix}-${n.toString(16).padStart(12, "0")}`,
      type,
      data,
      metadata: { v: 1, writer: this.#writer, n, time: BEGAN + atMs, ...metadata },
    };
  }

  async append(stream: string, events: NewEvent[]): Promise<void> {
    await this.#store.log.append(stream, events, "any");
  }
}

/** A turn that was killed while a tool ran, with everything that an autopsy can tell. */
export async function scriptNight(store: ConversationStore): Promise<void> {
  const script = new EventScript(store);
  await script.writerStarted(-3_600_000);
  const session = "conversation-support-42";
  const turn = { turnId: "turn-2", cause: "delta" };
  const say = (messageId: number, role: string, content: string, atMs: number): NewEvent =>
    script.event("MessageSaved", { messageId, role, format: "text", content }, atMs);
  let content = "[]";
  const update = (next: string, atMs: number, cause: string, marks?: number[][]): NewEvent => {
    const data: JsonObject = { messageId: 259, content: [[0, content.length, next]], length: next.length };
    if (marks !== undefined) data["marks"] = marks;
    content = next;
    return script.event("BranchesUpdated", data, atMs, { ...turn, cause });
  };
  const reasoning = {
    kind: "reasoning",
    text: "The order says \u001b[31mlate\u001b[0m; look at the carrier.",
  };
  const text = { kind: "text", text: "Let me look where your parcel is. 📦" };
  const tool = (more: object): object => ({
    kind: "tool",
    tool_id: "call-1",
    name: "find_order",
    input: '{"order":42}',
    ...more,
  });
  const done = tool({
    output: "shipped",
    state: "output-available",
    started_at: BEGAN + 1900,
    duration_ms: 340,
  });
  const running = tool({
    tool_id: "call-2",
    name: "ask_carrier",
    input: '{"parcel":"P-7","deep":true}',
    state: "input-available",
    started_at: BEGAN + 2600,
  });
  const stub = (messageId: number): NewEvent =>
    script.event("AssistantStubAppended", { messageId, content: "[]" }, 0);
  await script.append(session, [
    say(256, "system", "You are brief.", -60_000),
    say(257, "user", "Hello", -50_000),
    say(258, "user", "Why is my order late?", 0),
    stub(259),
    script.event("TurnStarted", { turnId: "turn-2", messageId: 259, kind: "new", model: "claude-test" }, 0, {
      turnId: "turn-2",
    }),
    update(JSON.stringify([reasoning]), 1380, "delta", [
      [0, 20],
      [40, 22],
    ]),
    update(JSON.stringify([reasoning, text]), 1500, "delta", [
      [0, 40],
      [120, 8],
    ]),
    update(JSON.stringify([reasoning, text, done]), 2240, "tool-result"),
    update(JSON.stringify([reasoning, text, done, running]), 2600, "tool-started"),
  ]);
  await script.heartbeat(10_100);
}

/** A turn without text, in a session `s<index>` of its own, by a writer of its own. */
export async function scriptTurn(
  store: ConversationStore,
  index: number,
  writerFacts: JsonObject = {},
  atMs = index * 1000,
): Promise<void> {
  const script = new EventScript(store, `0000000000008000${index.toString(16).padStart(4, "0")}`);
  await script.writerStarted(atMs, writerFacts);
  const data = { turnId: `turn-${index}`, messageId: index, kind: "new" };
  await script.append(`conversation-s${index}`, [
    script.event("AssistantStubAppended", { messageId: index, content: "[]" }, atMs),
    script.event("TurnStarted", data, atMs),
  ]);
}
