import fc from "fast-check";
import { anyText } from "./arbitraries.ts";

/** Stored parts of every kind and state, well-formed and not: contents are whatever was written. */

const metadata = fc.option(
  fc.dictionary(
    fc.constantFrom("anthropic", "openai"),
    fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue()),
  ),
  { nil: undefined },
);

const written = fc.record(
  { kind: fc.constantFrom("text", "reasoning"), text: anyText(), providerMetadata: metadata },
  { requiredKeys: ["kind", "text"] },
);

const file = fc
  .record(
    {
      kind: fc.constant("file"),
      mediaType: fc.constantFrom("image/png", "application/pdf"),
      filename: fc.constantFrom("a.png", "b.pdf"),
      providerMetadata: metadata,
    },
    { requiredKeys: ["kind", "mediaType"] },
  )
  .chain((part) =>
    fc
      .constantFrom({ data: "aGk=" }, { url: "https://example.org/a.png" })
      .map((source) => ({ ...part, ...source })),
  );

/** Few ids, so that calls share one now and then, as some providers make them. */
const tool = fc.record(
  {
    kind: fc.constant("tool"),
    tool_id: fc.constantFrom("t1", "t2", "t3", "t4"),
    name: fc.constantFrom("read", "run"),
    input: fc.oneof(
      fc.jsonValue().map((value) => JSON.stringify(value)),
      fc.constantFrom("", "{", '{"path":"a', "not json", ' { "a" : 1 } ', '{"invalidJson":"x"}'),
    ),
    output: fc.oneof(
      fc.jsonValue(),
      fc.constantFrom("done", "", { type: "content", value: [{ type: "text", text: "hi" }] }),
    ),
    state: fc.constantFrom(
      "input-streaming",
      "input-available",
      "approval-requested",
      "approval-responded",
      "output-available",
      "output-error",
      "output-denied",
    ),
    started_at: fc.constantFrom(1, 1_700_000_000_000),
    duration_ms: fc.nat(),
    provider_executed: fc.boolean(),
    approval: fc.record(
      { id: fc.constantFrom("a1", "a2"), approved: fc.boolean(), reason: anyText(12) },
      { requiredKeys: [] },
    ),
    providerMetadata: metadata,
  },
  { requiredKeys: ["kind", "tool_id", "name", "input", "state"] },
);

const other = fc.oneof(
  fc.constant({ kind: "step", finishReason: "stop" }),
  fc.constant({ kind: "source", sourceType: "url", url: "https://example.org", title: "A" }),
  fc.constant({ kind: "from-the-future", text: "?" }),
);

/** Parts as callers may hand them in. */
export const anyPart = fc.oneof(
  { weight: 3, arbitrary: written },
  { weight: 1, arbitrary: file },
  { weight: 4, arbitrary: tool },
  { weight: 2, arbitrary: other },
);

/** Parts as contents may have them: also such as are not what their kind says. */
export const anyStoredPart = fc.oneof(
  { weight: 8, arbitrary: anyPart },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      { kind: "text" },
      { kind: "text", text: 7, providerMetadata: "?" },
      { kind: "tool", tool_id: "t1" },
      { kind: "tool", tool_id: "t2", name: "read", input: { a: 1 }, state: "done", output: null },
      { kind: "file", mediaType: "image/png" },
      { kind: "reasoning", text: "why", providerMetadata: { openai: "?", anthropic: { signature: "s" } } },
    ),
  },
);

/** As the turn writer has it: no two calls or approvals of one message share an id. */
export function withUniqueIds<Part extends object>(parts: readonly Part[]): Part[] {
  const seen = new Set<unknown>();
  return parts.map((part, index) => {
    const { tool_id, approval } = part as { tool_id?: string; approval?: { id?: string } };
    if (tool_id === undefined) return part;
    const id = seen.has(tool_id) ? `${tool_id}-${index}` : tool_id;
    seen.add(id);
    const approvalId = approval?.id === undefined ? {} : { id: `${approval.id}-${index}` };
    return {
      ...part,
      tool_id: id,
      ...(approval === undefined ? {} : { approval: { ...approval, ...approvalId } }),
    };
  });
}
