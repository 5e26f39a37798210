// Recovers the store each time that its parent says so, and answers with how many turns it ended.
//   node recover-child.js PATH
import { createInterface } from "node:readline";
import { openConversationStore } from "../../dist/index.js";

const store = await openConversationStore(process.argv[2]);
console.log("ready");
for await (const sessionId of createInterface({ input: process.stdin })) {
  console.log((await store.recoverInterruptedTurns({ sessionId })).length);
}
await store.close();
