export * from "./errors.ts";
export type * from "./log/event-log.ts";
export type { ExpectedRevision } from "./log/expected-revision.ts";
export type * from "./events/stored-part.ts";
export type * from "./store/turn.ts";
