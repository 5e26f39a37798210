import { randomUUID } from "node:crypto";

/** Why what needs a real server is skipped. */
export const NO_REAL_SERVER = "none: TURNLOG_TEST_ESDB holds no connection string";

/** The real server that tests may use, beside what else it holds. */
export function realServer(): string | undefined {
  return process.env["TURNLOG_TEST_ESDB"] || undefined;
}

/** A log that nobody else has, on a server that may hold others. */
export function ownLog(url: string): string {
  return `${url}${url.includes("?") ? "&" : "?"}log=test-${randomUUID()}`;
}
