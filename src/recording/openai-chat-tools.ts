import { type JsonRecord, filledText, isRecord, present, record, text } from "./json-access.ts";
import type { TurnVerb } from "./turn-verb.ts";

interface OpenCall {
  toolId: string;
  /** As the provider sent it; empty where it sent none. */
  sentId: string;
  name: string;
  providerMetadata?: Record<string, Record<string, unknown>> | undefined;
}

/**
 * The tool calls of one chat message, put together from their pieces. Providers differ: the id comes in the
 * first piece only, in each, or as "" later; the index may be missing (whole calls), or the same for all calls.
 */
export class ChatToolCalls {
  readonly #claimId: (wanted: string) => string;
  readonly #prefix: string;
  readonly #byIndex = new Map<unknown, OpenCall>();
  #open: OpenCall[] = [];
  #started = 0;

  /** @param prefix of the ids of calls that come without one */
  constructor(claimId: (wanted: string) => string, prefix: string) {
    this.#claimId = claimId;
    this.#prefix = prefix;
  }

  /** True once a call has begun. */
  get hasCalls(): boolean {
    return this.#started > 0;
  }

  /** An element of `tool_calls`. */
  read(piece: JsonRecord): TurnVerb[] {
    const custom = isRecord(piece["custom"]) ? piece["custom"] : undefined;
    const called = custom ?? record(piece["function"]);
    const index = typeof piece["index"] === "number" ? piece["index"] : undefined;
    return this.#read(
      index,
      text(piece["id"]),
      text(called["name"]),
      custom?.["input"] ?? called["arguments"],
      {
        providerMetadata: extraContent(piece),
      },
    );
  }

  /** The one call of the older protocol, `function_call`: it has neither id nor index. */
  readFunctionCall(piece: JsonRecord): TurnVerb[] {
    return this.#read("function_call", "", text(piece["name"]), piece["arguments"], {});
  }

  /** The message is complete: so are its calls. */
  complete(): TurnVerb[] {
    const verbs = this.#open.map(({ toolId, name, providerMetadata }): TurnVerb => ({
      verb: "tool-call",
      toolId,
      name,
      ...(providerMetadata === undefined ? {} : { providerMetadata }),
    }));
    this.#open = [];
    this.#byIndex.clear();
    return verbs;
  }

  #read(
    index: unknown,
    sentId: string,
    name: string,
    input: unknown,
    { providerMetadata }: Pick<OpenCall, "providerMetadata">,
  ): TurnVerb[] {
    const verbs: TurnVerb[] = [];
    let call = this.#find(index, sentId, name);
    if (call === undefined) {
      const wanted = sentId === "" ? `${this.#prefix}${this.#started}` : sentId;
      call = { toolId: this.#claimId(wanted), sentId, name, providerMetadata };
      this.#started++;
      this.#open.push(call);
      if (index !== undefined) this.#byIndex.set(index, call);
      verbs.push({ verb: "tool-input-start", toolId: call.toolId, name });
    } else {
      if (call.name === "") call.name = name;
      call.providerMetadata ??= providerMetadata;
    }
    // Some servers send the arguments parsed.
    const piece = typeof input === "string" ? input : isRecord(input) ? JSON.stringify(input) : "";
    if (piece !== "") verbs.push({ verb: "tool-input-delta", toolId: call.toolId, text: piece });
    return verbs;
  }

  #find(index: unknown, sentId: string, name: string): OpenCall | undefined {
    if (index === undefined) {
      if (sentId !== "") return this.#open.find((call) => call.sentId === sentId);
      return name === "" ? this.#open.at(-1) : undefined;
    }
    const call = this.#byIndex.get(index);
    // The same index with another id and a name is another call: some servers give 0 to all parallel calls.
    const isOther = call !== undefined && sentId !== "" && sentId !== call.sentId && name !== "";
    return isOther ? undefined : call;
  }
}

/** Gemini's thought signatures come so through its OpenAI-compatible endpoint. */
export function extraContent(piece: JsonRecord): OpenCall["providerMetadata"] {
  const extra = present(record(piece["extra_content"]));
  const facts = Object.entries(extra).filter((entry): entry is [string, Record<string, unknown>] =>
    isRecord(entry[1]),
  );
  return facts.length === 0 || filledText(facts[0]?.[0]) === undefined
    ? undefined
    : Object.fromEntries(facts);
}
