import { NotFoundError, TurnlogError } from "../errors.ts";
import { conversationStream } from "../events/conversation-event.ts";
import { eventCodec } from "../events/event-codec.ts";
import type { RecordedEvent } from "../log/event-log.ts";
import { type Conversation, applyEvent, emptyConversation, skipEvent } from "./conversation.ts";
import type { RebuildReport } from "./rebuild.ts";
import { type RebuildRun, checkNotAborted, unfoldable } from "./rebuild-run.ts";
import { Differences, type Verification } from "./rebuild-verify.ts";
import { noChanges } from "./conversation-changes.ts";
import { unsavedConversation } from "./view-generation.ts";
import type { DeadLetter } from "./folded-sessions.ts";

/** Often enough for a session that never rests. */
const MOST_ATTEMPTS = 100;

/** Folds one session from the start of its stream, and puts its rows in the place of the old ones. */
export async function rebuildSession(run: RebuildRun, session: string): Promise<RebuildReport> {
  const { log, views, options } = run;
  const started = performance.now();
  const current = views.read(() => views.serving(log.logId));
  if (current === undefined)
    throw new NotFoundError(
      "no-views",
      `There are no views of this log and this version in ${views.path}: rebuild them all.`,
    );
  const folded = emptyConversation();
  let events = 0;
  let position = -1;
  let verification: Verification | undefined;
  let deadLetter: DeadLetter | undefined;
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    checkNotAborted(run);
    if (deadLetter === undefined) {
      for await (const event of log.readStream(conversationStream(session), { from: folded.revision + 1 })) {
        deadLetter = foldOne(folded, event, session);
        if (deadLetter !== undefined) break;
        events++;
        position = event.position;
      }
    }
    if (deadLetter !== undefined && options.skipPoison !== true) throw unfoldable(deadLetter);
    if (events === 0) {
      throw new NotFoundError("session-not-found", `The log has no session ${JSON.stringify(session)}.`);
    }
    verification ??=
      options.verify === false && options.dryRun !== true
        ? undefined
        : await compareSession(run, current.generation, session, folded);
    if (options.dryRun === true || (await replaceRows(run, current.generation, session, folded, deadLetter)))
      break;
  }
  return {
    session,
    ceiling: run.ceiling,
    position,
    resumedFrom: undefined,
    startedAnew: undefined,
    events,
    buildMs: performance.now() - started,
    elapsedMs: performance.now() - started,
    setAside: deadLetter === undefined ? [] : [deadLetter],
    verification,
    isInService: options.dryRun !== true,
  };
}

/** What the event could not be folded for, undefined where it was. */
function foldOne(state: Conversation, event: RecordedEvent, sessionId: string): DeadLetter | undefined {
  try {
    const decoded = eventCodec.decode(event);
    if (decoded === undefined) skipEvent(state, event);
    else applyEvent(state, decoded);
    return undefined;
  } catch (error) {
    if (!TurnlogError.isInstance(error)) throw error;
    const { stream, revision, position, type } = event;
    return { sessionId, stream, revision, position, type, code: error.code, message: error.message };
  }
}

async function compareSession(
  { log, views }: RebuildRun,
  generation: number,
  session: string,
  folded: Conversation,
): Promise<Verification> {
  const differences = new Differences();
  const place = views.read(() => views.rows(generation).placeOf(session));
  if (place === undefined) return differences.report();
  // The old rows may be of an earlier moment: compare with what the fold makes of the session up to there.
  const expected = place.revision === folded.revision ? folded : emptyConversation();
  if (expected !== folded) {
    for await (const event of log.readStream(conversationStream(session))) {
      if (event.revision > place.revision || foldOne(expected, event, session) !== undefined) break;
    }
  }
  if (expected.revision === place.revision)
    views.read(() => differences.compare(session, views.rows(generation), expected));
  else differences.skip();
  return differences.report();
}

/** False where the projector has got further than what was folded: fold on. */
function replaceRows(
  { views }: RebuildRun,
  generation: number,
  session: string,
  folded: Conversation,
  deadLetter: DeadLetter | undefined,
): Promise<boolean> {
  return views.whileBusy(() =>
    views.write(() => {
      const record = views.records().find((each) => each.generation === generation);
      if (record?.state !== "current") return false;
      const rows = views.rows(generation);
      const place = rows.placeOf(session);
      if (place !== undefined && place.revision > folded.revision && deadLetter === undefined) return false;
      const viewed = unsavedConversation(folded);
      viewed.session = place?.session;
      viewed.savedRevision = place?.revision ?? -1;
      folded.changes = { ...noChanges(), list: true };
      rows.save(session, viewed, deadLetter);
      return true;
    }),
  );
}
