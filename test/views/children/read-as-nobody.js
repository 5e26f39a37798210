// Opens the store at argv[2] as a user who owns nothing (root is not bound by permissions), appends a message or
// rebuilds the views where argv[3] says so, and prints what came of it as JSON.
import { openConversationStore, rebuildViews } from "../../../dist/index.js";

const NOBODY = 65_534;
if (process.getuid() === 0) {
  process.setgid(NOBODY);
  process.setuid(NOBODY);
}

const outcome = {};
try {
  if (process.argv[3] === "rebuild") await rebuildViews(process.argv[2]);
  const store = await openConversationStore(process.argv[2], { readOnly: process.argv[3] !== "write" });
  if (process.argv[3] === "write") await store.saveMessage("a", "user", "more");
  outcome.messages = (await store.listMessages("a")).map(({ content }) => content);
  outcome.sessions = (await store.listSessions()).map(({ id }) => id);
  await store.close();
} catch (error) {
  outcome.code = error.code;
  outcome.message = error.message;
}
console.log(JSON.stringify(outcome));
