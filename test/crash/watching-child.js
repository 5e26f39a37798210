// Watches a session and does nothing else: it must live until another process has written the word it waits for.
import { writeSync } from "node:fs";
import { openConversationStore } from "../../dist/index.js";

const store = await openConversationStore(process.argv[2], { readOnly: true });
for await (const change of store.watch("s")) {
  writeSync(1, `${change.kind}\n`);
  if (change.kind === "message" && change.message.content === "end") break;
}
await store.close();
writeSync(1, "closed\n");
