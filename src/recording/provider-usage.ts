import type { Usage } from "../events/stored-part.ts";
import { type JsonRecord, count, record } from "./json-access.ts";

/** Tokens as the provider counted them; the provider's own object stays in `raw`. */

export function usageOfChat(raw: JsonRecord): Usage {
  const input = record(raw["prompt_tokens_details"]);
  const output = record(raw["completion_tokens_details"]);
  return tokens(raw, {
    inputTokens: count(raw["prompt_tokens"]),
    outputTokens: count(raw["completion_tokens"]),
    reasoningTokens: count(output["reasoning_tokens"]) ?? count(raw["reasoning_tokens"]),
    cachedInputTokens:
      count(input["cached_tokens"]) ?? count(raw["prompt_cache_hit_tokens"]) ?? count(raw["cached_tokens"]),
  });
}

export function usageOfResponses(raw: JsonRecord): Usage {
  return tokens(raw, {
    inputTokens: count(raw["input_tokens"]),
    outputTokens: count(raw["output_tokens"]),
    reasoningTokens: count(record(raw["output_tokens_details"])["reasoning_tokens"]),
    cachedInputTokens: count(record(raw["input_tokens_details"])["cached_tokens"]),
  });
}

export function usageOfAnthropic(raw: JsonRecord): Usage {
  const cached = count(raw["cache_read_input_tokens"]);
  const input = count(raw["input_tokens"]);
  return tokens(raw, {
    // This protocol alone counts what came from or went to the cache apart; elsewhere it is part of the input.
    inputTokens:
      input === undefined
        ? undefined
        : input + (cached ?? 0) + (count(raw["cache_creation_input_tokens"]) ?? 0),
    outputTokens: count(raw["output_tokens"]),
    cachedInputTokens: cached,
  });
}

const COUNTS = ["inputTokens", "outputTokens", "reasoningTokens", "cachedInputTokens"] as const;

function tokens(raw: JsonRecord, counts: Usage): Usage {
  const usage: Usage = { raw };
  for (const name of COUNTS) if (counts[name] !== undefined) usage[name] = counts[name];
  return usage;
}

/** What the steps took together. The raw objects of several steps stay with their steps. */
export function sumUsage(steps: readonly Usage[]): Usage | undefined {
  if (steps.length < 2) return steps[0];
  const sum: Usage = {};
  for (const name of COUNTS) {
    const counted = steps.flatMap((step) => step[name] ?? []);
    if (counted.length > 0) sum[name] = counted.reduce((total, tokens) => total + tokens, 0);
  }
  return sum;
}
