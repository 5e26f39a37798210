// A read model of one's own: how often each tool was called, per day (UTC), and how often it failed.
import { defineProjection } from "turnlog";

/**
 * State: `open` holds the content of each message whose turn has not ended; `days` is the answer:
 * `{ "2026-11-24": { "search": { calls: 3, errors: 1 } } }`.
 */
export const toolUsage = defineProjection({
  name: "tool-usage-per-day",
  version: 1,

  init: () => ({ open: {}, days: {} }),

  evolve(state, event) {
    const { type, data, metadata } = event;
    if (type === "TurnStarted") state.open[data.messageId] = "[]";
    if (type === "BranchesUpdated" && data.messageId in state.open) {
      const content = data.pushContent ? "[]" : state.open[data.messageId];
      state.open[data.messageId] = applySplices(content, data.content);
    }
    if (type === "TurnEnded" && data.messageId in state.open) {
      countTools(state.days, JSON.parse(state.open[data.messageId]), metadata.time);
      delete state.open[data.messageId];
    }
    return state;
  },
});

/** An event says only what changed: at this place, so many characters go, and this text comes. */
function applySplices(content, splices = []) {
  for (const [at, deleted, inserted] of splices)
    content = content.slice(0, at) + inserted + content.slice(at + deleted);
  return content;
}

function countTools(days, parts, endedAt) {
  for (const part of parts) {
    if (part.kind !== "tool") continue;
    const day = new Date(part.started_at ?? endedAt).toISOString().slice(0, 10);
    const tools = (days[day] ??= {});
    const usage = (tools[part.name] ??= { calls: 0, errors: 0 });
    usage.calls += 1;
    if (part.state === "output-error") usage.errors += 1;
  }
}
