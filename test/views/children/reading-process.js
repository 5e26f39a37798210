// Answers on the IPC channel what it reads from the store at argv[2]: as another process than the writer's.
import { openConversationStore } from "../../../dist/index.js";

const store = await openConversationStore(process.argv[2], { projector: process.argv[3] === "projector" });
process.on("message", async ({ session, limit }) => {
  if (session === undefined) return void store.close().then(() => process.disconnect());
  const messages = await store.listMessages(session, { limit });
  const listed = (await store.listSessions({ limit: 10 })).find(({ id }) => id === session);
  process.send({ content: messages.at(-1)?.content, count: messages.length, total: listed?.messageCount });
});
process.send("ready");
