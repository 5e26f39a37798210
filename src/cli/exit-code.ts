import { DamageError, InvalidInputError, StateError, TurnlogError } from "../errors.ts";

/** What the exit code says; stable. After Ctrl-C it is 130, after SIGTERM 143, as shells expect. */
export const ExitCode = {
  clean: 0,
  /** Something wrong was found, or the recorded turn did not finish. */
  problem: 1,
  usage: 2,
  /** It could not look: no such store or session, no connection, or a failure that was not foreseen. */
  unavailable: 3,
} as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof InvalidInputError) return ExitCode.usage;
  if (error instanceof DamageError || error instanceof StateError) return ExitCode.problem;
  return ExitCode.unavailable;
}

/** One line that says what was wrong. With TURNLOG_DEBUG set, also where. */
export function describeError(error: unknown, env: NodeJS.ProcessEnv): string {
  if (env["TURNLOG_DEBUG"] && error instanceof Error) return withCauses(error);
  if (TurnlogError.isInstance(error)) return error.message;
  const what = error instanceof Error ? error.message : String(error);
  return `unexpected failure: ${what} (set TURNLOG_DEBUG=1 to see where)`;
}

function withCauses(error: Error): string {
  const trace = error.stack ?? error.message;
  return error.cause instanceof Error ? `${trace}\nCaused by: ${withCauses(error.cause)}` : trace;
}
