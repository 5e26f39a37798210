import type { EventLog } from "../log/event-log.ts";
import { type ConversationViews } from "./conversation-views.ts";
import { isOfLog } from "./open-views.ts";
import { type ProjectionDefinition, ProjectionState } from "./own-projection.ts";

/** The state that is kept, undefined where there is none of this version and this log. */
export async function loadProjection<State>(
  log: EventLog,
  views: ConversationViews,
  definition: ProjectionDefinition<State>,
): Promise<ProjectionState<State> | undefined> {
  const row = views.read(() =>
    views.database
      .prepare("SELECT version, log_id, checkpoint, checkpoint_event, state FROM projections WHERE name = ?")
      .get(definition.name),
  );
  if (row === undefined) return undefined;
  const [version, logId, position, event, state] = row;
  const checkpoint = { position: Number(position), eventId: event === null ? undefined : String(event) };
  if (version !== definition.version || logId !== log.logId || !(await isOfLog(log, checkpoint)))
    return undefined;
  return new ProjectionState(definition, { state: JSON.parse(String(state)) as State, ...checkpoint });
}

/**
 * Keeps a state with its checkpoint, unless another process has kept a later one, or one of a newer version.
 * @param isForced also in the place of a later one of this version: after a rebuild
 */
export async function saveProjection<State>(
  log: EventLog,
  views: ConversationViews,
  folded: ProjectionState<State>,
  isForced = false,
): Promise<void> {
  const { name, version } = folded.definition;
  const state = folded.toJson();
  const { position, eventId } = folded;
  await views.whileBusy(() =>
    views.write(() => {
      const kept = views.database
        .prepare("SELECT version, log_id, checkpoint FROM projections WHERE name = ?")
        .get(name);
      if (kept !== undefined && kept[1] === log.logId) {
        if (Number(kept[0]) > version) return;
        if (!isForced && Number(kept[0]) === version && Number(kept[2]) >= position) return;
      }
      views.database
        .prepare(
          `INSERT OR REPLACE INTO projections (name, version, log_id, checkpoint, checkpoint_event, state)
            VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(name, version, log.logId, position, eventId ?? null, state);
    }),
  );
}
