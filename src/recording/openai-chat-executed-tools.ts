import { type JsonRecord, filledText, label, present, presentExcept, text } from "./json-access.ts";
import type { TurnVerb } from "./turn-verb.ts";

interface ExecutedTool {
  toolId: string;
  hasResult: boolean;
}

const CALL_FIELDS = ["index", "type", "name", "arguments"];

/**
 * Tools that Groq's compound models ran on its side: `delta.executed_tools`, first with the arguments, and again,
 * at the same index, with what came of them. They have no ids.
 */
export class ChatExecutedTools {
  readonly #claimId: (wanted: string) => string;
  readonly #prefix: string;
  readonly #byIndex = new Map<string, ExecutedTool>();

  /** @param prefix of the ids that the calls get */
  constructor(claimId: (wanted: string) => string, prefix: string) {
    this.#claimId = claimId;
    this.#prefix = prefix;
  }

  read(tool: JsonRecord): TurnVerb[] {
    const index = label(tool["index"] ?? this.#byIndex.size);
    const verbs: TurnVerb[] = [];
    let known = this.#byIndex.get(index);
    if (known === undefined) {
      known = { toolId: this.#claimId(`${this.#prefix}${index}`), hasResult: false };
      this.#byIndex.set(index, known);
      const name = filledText(tool["name"]) ?? filledText(tool["type"]) ?? "tool";
      const { toolId } = known;
      verbs.push(
        { verb: "tool-call", toolId, name, input: text(tool["arguments"]), providerExecuted: true },
        { verb: "tool-started", toolId },
      );
    }
    const { output, ...results } = presentExcept(tool, CALL_FIELDS);
    const isResult = output !== undefined || Object.keys(results).length > 0;
    if (!isResult || known.hasResult) return verbs;
    known.hasResult = true;
    const whole = Object.keys(results).length === 0 ? output : present({ output, ...results });
    verbs.push({ verb: "tool-result", toolId: known.toolId, output: whole });
    return verbs;
  }
}
