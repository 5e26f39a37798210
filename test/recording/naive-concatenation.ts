/**
 * What a stream's deltas concatenate to, computed without any of the code under test: it looks for the few fields
 * that hold deltas and joins them. Tool inputs are those that came in pieces, in order of their first piece.
 */
export interface Concatenation {
  text: string;
  reasoning: string;
  inputs: string[];
}

type Json = Record<string, never> & { [key: string]: Json };

export function naiveConcatenation(stream: string): Concatenation {
  let text = "";
  let reasoning = "";
  let message = 0;
  const inputs = new Map<string, string>();
  const addInput = (call: unknown, piece: unknown): void => {
    if (typeof piece !== "string" || piece === "") return;
    const key = `${message} ${String(call)}`;
    inputs.set(key, (inputs.get(key) ?? "") + piece);
  };
  for (const line of stream.split("\n")) {
    const json = line.replace(/^data: /, "").trim();
    if (!json.startsWith("{")) continue;
    const chunk = JSON.parse(json) as Json;
    const type = String(chunk["type"]);
    if (type === "message_start" || type === "response.created") message++;

    if (type === "content_block_delta") {
      text += chunk["delta"]?.["text"] ?? "";
      reasoning += chunk["delta"]?.["thinking"] ?? "";
      addInput(chunk["index"], chunk["delta"]?.["partial_json"]);
    } else if (type === "response.output_text.delta") {
      text += String(chunk["delta"]);
    } else if (type === "response.reasoning_summary_text.delta" || type === "response.reasoning_text.delta") {
      reasoning += String(chunk["delta"]);
    } else if (type.endsWith("_arguments.delta")) {
      addInput(chunk["output_index"], chunk["delta"]);
    }
    for (const choice of (chunk["choices"] ?? []) as unknown as Json[]) {
      if (String(choice["index"]) !== "0") continue;
      text += choice["delta"]?.["content"] ?? "";
      reasoning += choice["delta"]?.["reasoning_content"] ?? "";
      for (const call of (choice["delta"]?.["tool_calls"] ?? []) as unknown as Json[])
        addInput(call["index"], call["function"]?.["arguments"]);
    }
  }
  return { text, reasoning, inputs: [...inputs.values()] };
}
