import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { openConversationStore } from "turnlog";
import { Agent } from "./agent.js";
import { scriptedModel } from "./scripted-model.js";
import { createTools } from "./tools.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    store: { type: "string", default: "agent.db" },
    session: { type: "string", default: "agent" },
    approve: { type: "string" }, // "yes" or "no"; without it you are asked
    regenerate: { type: "boolean", default: false },
    pace: { type: "string", default: "30" }, // ms between two words of the model
    "max-messages": { type: "string", default: "20" },
  },
});

const print = (text) => process.stdout.write(text);
const call = ({ name, input }) => `${name} ${typeof input === "string" ? input : JSON.stringify(input)}`;

const display = {
  note: (text) => print(`[${text}]\n`),
  part(part) {
    if (part.type === "text-start") print("agent: ");
    else if (part.type === "text-delta") print(part.text);
    else if (part.type === "text-end") print("\n");
    else if (part.type === "tool-call") print(`  ${call({ name: part.toolName, input: part.input })}\n`);
    else if (part.type === "tool-result") print(`  → ${JSON.stringify(part.output)}\n`);
    else if (part.type === "tool-error") print(`  → failed: ${part.error.message}\n`);
  },
  interrupted({ kind, text, tools }) {
    print(`[interrupted: a turn (${kind}) after ${JSON.stringify(text)}]\n`);
    for (const tool of tools) print(`[in flight: ${call(tool)}: ${tool.verdict}]\n`);
  },
};

/** Asks on the terminal: nothing but a clear yes lets a command run. */
async function approve(asked) {
  print(`  run ${call(asked)}? [y/N] `);
  let answer = values.approve ?? "";
  if (values.approve === undefined) {
    const terminal = createInterface({ input: process.stdin });
    [answer = ""] = await Promise.race([once(terminal, "line"), once(terminal, "close")]);
    terminal.close();
  } else print(`${answer}\n`);
  return /^y(es)?$/i.test(answer.trim());
}

const store = await openConversationStore(values.store, { label: "agent-runtime example" });
try {
  const agent = new Agent({
    store,
    session: values.session,
    model: scriptedModel(Number(values.pace)),
    tools: createTools(process.cwd(), (text) => print(text.replace(/^(?=.)/gm, "  | "))),
    approve,
    display,
    maxMessages: Number(values["max-messages"]),
  });
  await agent.recover();
  if (values.regenerate) await agent.regenerate();
  for (const question of positionals) {
    print(`you: ${question}\n`);
    await agent.ask(question);
  }
} finally {
  await store.close();
}
