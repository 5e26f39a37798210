import { DamageError, InvalidInputError, StoreError, TurnlogError } from "../errors.ts";
import {
  type ConversationEvent,
  conversationStreamPrefix,
  sessionOfStream,
} from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";

/** An event with the session that it belongs to. */
export type ProjectedEvent = ConversationEvent & { readonly sessionId: string };

/** A read model of one's own: a fold of all sessions' events into one state. */
export interface ProjectionDefinition<State> {
  /** Lower-case letters, digits, `.`, `_` and `-`; unique among the projections of a store. */
  readonly name: string;
  /** To be raised when `evolve` or the shape of the state changes: the state is then folded anew. */
  readonly version: number;
  /** The state before the first event. */
  init(): State;
  /**
   * The state after an event, in order of the log: a new one, or the given one changed. Pure: no clock, no chance, no
   * I/O. The state must survive JSON. An event must not be changed.
   */
  evolve(state: State, event: ProjectedEvent): State;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Checks a definition and returns it. @throws {InvalidInputError} `invalid-projection` */
export function defineProjection<State>(
  definition: ProjectionDefinition<State>,
): ProjectionDefinition<State> {
  const { name, version, init, evolve } = definition;
  const refuse = (why: string): InvalidInputError =>
    new InvalidInputError("invalid-projection", `The projection ${JSON.stringify(name)} ${why}.`);
  if (typeof name !== "string" || !NAME.test(name))
    throw refuse("needs a name of lower-case letters, digits, '.', '_' and '-', at most 64");
  if (!Number.isSafeInteger(version) || version < 1) throw refuse("needs a version, an integer from 1");
  if (typeof init !== "function" || typeof evolve !== "function") throw refuse("needs init and evolve");
  return definition;
}

/** True for what defineProjection could have returned. */
export function isProjectionDefinition(value: unknown): value is ProjectionDefinition<unknown> {
  const { name, version, init, evolve } = (value ?? {}) as Record<string, unknown>;
  const hasFunctions = typeof init === "function" && typeof evolve === "function";
  return hasFunctions && typeof name === "string" && typeof version === "number";
}

/** The state of a projection as it is folded, with the position that it has come to. */
export class ProjectionState<State> {
  readonly definition: ProjectionDefinition<State>;
  state: State;
  position: number;
  eventId: string | undefined;

  constructor(
    definition: ProjectionDefinition<State>,
    from?: { state: State; position: number; eventId: string | undefined },
  ) {
    this.definition = definition;
    this.state = from === undefined ? definition.init() : from.state;
    this.position = from?.position ?? -1;
    this.eventId = from?.eventId;
  }

  /**
   * Takes an event, once: those up to its position are skipped.
   * @throws {DamageError} an event that cannot be decoded, `projection-failed` where evolve throws; the state is then
   * no longer to be used.
   */
  take(event: RecordedEvent): void {
    if (event.position <= this.position) return;
    const sessionId = sessionOfStream(event.stream);
    if (sessionId !== undefined) {
      const decoded = eventCodec.decode(event);
      if (decoded !== undefined) this.#evolve({ ...decoded, sessionId });
    }
    this.position = event.position;
    this.eventId = event.id;
  }

  #evolve(event: ProjectedEvent): void {
    const { name } = this.definition;
    try {
      this.state = this.definition.evolve(this.state, event);
    } catch (cause) {
      if (TurnlogError.isInstance(cause)) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DamageError(
        "projection-failed",
        `The projection ${name} failed on ${event.type} at revision ${event.revision} of stream "${event.stream}": ${why}.`,
        { cause, details: { name, stream: event.stream, revision: event.revision, type: event.type } },
      );
    }
  }

  /** As it is kept. @throws {StoreError} `projection-state-not-json` */
  toJson(): string {
    const json = JSON.stringify(this.state) as string | undefined;
    if (json !== undefined) return json;
    throw new StoreError(
      "projection-state-not-json",
      `The state of projection ${this.definition.name} is no JSON: init and evolve must return plain values.`,
    );
  }
}

/** Which streams projections read. */
export const projectedStreams = conversationStreamPrefix;
