import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

export interface Interruptible<T> {
  result: T;
  /** 128 and the signal's number where one came, as a shell would report it. */
  exitCode: number | undefined;
}

/**
 * Runs work that ends in order when the process is told to stop. A second signal ends the process at once, as if
 * nobody listened.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<Interruptible<T>> {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    release();
    exitCode = 128 + constants.signals[signal];
    controller.abort(new Error(`stopped by ${signal}`));
  };
  const release = (): void => {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    return { result: await work(controller.signal), exitCode };
  } finally {
    release();
  }
}
