import { TurnlogError } from "../errors.ts";
import { contentChecksum } from "../events/content-checksum.ts";
import type { ConversationEvent, EventData, NewMessage } from "../events/conversation-event.ts";
import { type StoredPart, parseParts } from "../events/stored-part.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "../projections/conversation.ts";
import { newMessageIds } from "../store/fork-ids.ts";
import type { LogFacts } from "./verify-facts.ts";
import { NumberSet } from "./verify-number-set.ts";
import type { Findings } from "./verify-report.ts";

/** Causes of events that say something of a tool call that an earlier event has made. */
const OF_A_CALL: ReadonlySet<string | undefined> = new Set(["tool-started", "tool-result", "tool-error"]);

/** Folds one session and holds what its events say of it against what it is. */
export class SessionVerifier {
  readonly #sessionId: string;
  readonly #facts: LogFacts;
  readonly #findings: Findings;
  readonly #ids = new NumberSet();
  #state = emptyState();
  /** False behind damage: what the events are to be applied to is not known. */
  #isFolding = true;
  #lacksEvents = false;
  readonly #knownCalls = new Set<string>();

  constructor(sessionId: string, facts: LogFacts, findings: Findings) {
    this.#sessionId = sessionId;
    this.#facts = facts;
    this.#findings = findings;
  }

  /** As of the newest event that could be applied; undefined behind damage. */
  get state(): Conversation | undefined {
    return this.#isFolding ? this.#state : undefined;
  }

  /** Events before the next one are lost, or cannot be read. */
  interrupt(): void {
    this.#isFolding = false;
  }

  /** Some of its events are known to be lost: a call may have been among them. */
  lackEvents(): void {
    this.#lacksEvents = true;
  }

  skip(event: { revision: number }): void {
    if (this.#isFolding) skipEvent(this.#state, event);
  }

  take(event: ConversationEvent): void {
    this.#checkIds(event);
    if (event.type === "SessionDeleted") {
      // Nothing before it matters to what comes after.
      this.#state = emptyState();
      this.#isFolding = true;
      this.#knownCalls.clear();
    }
    if (!this.#isFolding) return;
    const callsBefore = this.#callsBefore(event);
    try {
      applyEvent(this.#state, event);
    } catch (error) {
      if (!TurnlogError.isInstance(error)) throw error;
      this.#isFolding = false;
      this.#findings.add("unfoldable-event", error.message, event);
      return;
    }
    if (event.type === "TurnEnded") this.#checkEnd(event);
    if (callsBefore !== undefined && event.type === "BranchesUpdated") {
      const unknown = toolIdsOf(this.#contentOf(event.data.messageId)).find((id) => !callsBefore.has(id));
      if (unknown !== undefined) this.#reportResult(event, unknown);
    }
    if (event.type === "MessageSaved") this.#checkToolMessage(event, event.data);
  }

  finish(): void {
    if (!this.#isFolding || this.#state.missingForkEvents === 0) return;
    this.#findings.note(
      "unfinished-fork",
      `Session ${JSON.stringify(this.#sessionId)} is a fork that still lacks ${this.#state.missingForkEvents} events: forking again goes on with it.`,
    );
  }

  #checkIds(event: ConversationEvent): void {
    for (const id of newMessageIds(event.type, event.data)) {
      if (!this.#ids.add(id)) {
        this.#findings.add("repeated-message-id", `Two messages have the id ${id}.`, event);
        continue;
      }
      const why = this.#facts.whyNotInBlock(id, this.#sessionId);
      if (why !== undefined) {
        this.#findings.add(
          "message-id-outside-block",
          `Message ${id} has an id that is not its session's: ${why}.`,
          event,
        );
      }
    }
  }

  #checkEnd(event: ConversationEvent & { type: "TurnEnded" }): void {
    const said = event.data.content;
    const found = contentChecksum(this.#contentOf(event.data.messageId));
    if (said.length === found.length && said.crc32 === found.crc32) return;
    this.#findings.add(
      "content-checksum",
      `The turn of message ${event.data.messageId} ended with a content of ${said.length} units and checksum ${said.crc32}; its events make ${found.length} units and ${found.crc32}.`,
      event,
    );
  }

  #callsBefore({ type, data, metadata }: ConversationEvent): Set<string> | undefined {
    if (type !== "BranchesUpdated" || !OF_A_CALL.has(metadata.cause)) return undefined;
    return new Set(toolIdsOf(this.#contentOf((data as EventData["BranchesUpdated"]).messageId)));
  }

  /** A message of the role tool answers calls that messages before it have made. */
  #checkToolMessage(event: ConversationEvent, { role, format, content, messageId }: NewMessage): void {
    if (role !== "tool" || format !== "parts") return;
    const changed = this.#state.changes?.messages ?? new Set();
    for (const message of changed) {
      if (message.id === messageId) continue;
      for (const id of toolIdsOf(message.content.toString())) this.#knownCalls.add(id);
    }
    changed.clear();
    const unknown = toolIdsOf(content).find((id) => !this.#knownCalls.has(id));
    if (unknown !== undefined) this.#reportResult(event, unknown);
  }

  #reportResult(event: ConversationEvent, toolId: string): void {
    if (this.#lacksEvents) return;
    const what = `The result of tool call ${JSON.stringify(toolId)} has no call before it.`;
    this.#findings.add("result-without-call", what, event);
  }

  #contentOf(messageId: number): string {
    return this.#state.messages.get(messageId)?.content.toString() ?? "";
  }
}

function emptyState(): Conversation {
  const state = emptyConversation();
  state.changes = { messages: new Set(), list: false, session: false };
  return state;
}

function toolIdsOf(content: string): string[] {
  const ids: string[] = [];
  for (const part of parseParts(content) ?? []) if (isToolPart(part)) ids.push(part.tool_id);
  return ids;
}

function isToolPart(part: StoredPart): part is StoredPart & { tool_id: string } {
  return part.kind === "tool" && "tool_id" in part && typeof part.tool_id === "string";
}
