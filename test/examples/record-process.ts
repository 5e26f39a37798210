import { join } from "node:path";
import type { TurnVerb } from "../../src/recording/turn-verb.ts";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { Child, builtCli } from "./child-process.ts";

/** A line that `record --ack` printed. */
export interface Fact {
  type: "begin" | "durable" | "refused" | "end";
  line: number;
  [key: string]: unknown;
}

export class RecordProcess {
  readonly child: Child;
  readonly store: string;

  constructor(folder: string, ...options: string[]) {
    this.store = join(folder, "conversations.db");
    const args = [builtCli, "record", "s", "--store", this.store, "--protocol", "turnlog", ...options];
    this.child = new Child(process.execPath, args);
  }

  write(...verbs: readonly TurnVerb[]): void {
    for (const verb of verbs) this.child.write(`${JSON.stringify(verb)}\n`);
  }

  /** What it has told, whole lines only. */
  get facts(): Fact[] {
    return factsOf(this.child.stdout);
  }

  /** Waits until it tells of this line or a later one. */
  waitFor(type: Fact["type"], line = 0): Promise<Fact> {
    return this.child.waitFor((stdout) =>
      factsOf(stdout).find((fact) => fact.type === type && fact.line >= line),
    );
  }

  async ended(): Promise<{ code: number | null; facts: Fact[]; stderr: string }> {
    const { code, stderr } = await this.child.ended();
    return { code, facts: this.facts, stderr };
  }

  /** The message as another process reads it. */
  async readMessage(): Promise<StoredMessage> {
    const store = await openConversationStore(this.store, { readOnly: true });
    try {
      return await store.lastAssistantMessage("s");
    } finally {
      await store.close();
    }
  }
}

function factsOf(stdout: string): Fact[] {
  const lines = stdout.split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Fact);
}
