import type * as z from "zod";
import type { JsonRecord } from "./json-access.ts";
import { StreamReader } from "./stream-reader.ts";
import { turnVerbSchema } from "./turn-verb.ts";

const verbNames: readonly string[] = turnVerbSchema.options.map(({ shape }) => shape.verb.value);

/**
 * Reads the protocol of this library's own: each chunk is a verb of the turn. Unlike a provider's stream it is
 * written for this reader: a chunk that is no valid verb is a mistake, not news from a newer version.
 */
export class TurnVerbReader extends StreamReader {
  /** The runtime alone knows when its turn is over, and says so by a verb. */
  protected get hasOpenMessage(): boolean {
    return true;
  }

  protected override get endedEarly(): string {
    return "The input ended before the turn did: finish, fail or abort ends it.";
  }

  protected readChunk(chunk: JsonRecord): void {
    const { verb } = chunk;
    if (typeof verb !== "string" || !verbNames.includes(verb)) {
      const what = verb === undefined ? "names no verb" : `names an unknown verb ${JSON.stringify(verb)}`;
      return this.fail("invalid-verb", `line ${this.line} ${what}; the verbs are ${verbNames.join(", ")}`);
    }
    const parsed = turnVerbSchema.safeParse(chunk);
    if (parsed.success) this.say(parsed.data);
    else
      this.fail("invalid-verb", `line ${this.line} is no valid "${verb}": ${describe(parsed.error.issues)}`);
  }

  protected override unknown(kind: string): void {
    this.fail("invalid-verb", `line ${this.line} is no object with a verb but ${kind}`);
  }
}

function describe(issues: readonly z.core.$ZodIssue[]): string {
  return issues
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
    .join("; ");
}
