import { describe, expect, it } from "@jest/globals";
import { eventSchemas, isStructural } from "../../src/events/conversation-event.ts";

const CAUSES = ["tool-call", "tool-started", "tool-result", "tool-error", "approval", "step", "regenerate"];

/** Structural events wait for the disk, and the views are written behind them: the others may be lost with a window. */
describe("a structural event", () => {
  it.each(Object.keys(eventSchemas).filter((type) => type !== "BranchesUpdated"))(
    "is %s, or is not",
    (type) => {
      expect(isStructural(type, undefined)).toBe(type !== "WriterHeartbeat" && type !== "WriterStopped");
    },
  );

  it.each(CAUSES)("is an update because of a %s", (cause) => {
    expect(isStructural("BranchesUpdated", cause)).toBe(true);
  });

  it.each(["update", "delta"])("is no %s", (cause) => {
    expect(isStructural("BranchesUpdated", cause)).toBe(false);
  });
});
