import { readFileSync } from "node:fs";
import type { Readable } from "node:stream";
import { MANIFEST } from "./installed-files.ts";
import { Output, type OutputStream } from "./output.ts";

/** What a command has of the world; tests give it another one. */
export interface CliStreams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: NodeJS.ProcessEnv;
}

export interface CliContext {
  readonly streams: CliStreams;
  readonly out: Output;
  readonly err: Output;
  readonly env: NodeJS.ProcessEnv;
  /** Set by a command that did its work and has something to report. */
  exitCode: number;
}

export function createContext(streams: CliStreams): CliContext {
  const { stdout, stderr, env } = streams;
  return { streams, out: new Output(stdout), err: new Output(stderr), env, exitCode: 0 };
}

/** Of the package that this file belongs to. */
export function packageVersion(): string {
  const manifest = readFileSync(MANIFEST, "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
