import { openConversationStore } from "../../dist/index.js";

/** The contents of the session's answers, in order, read back from the closed file. */
export async function answersIn(path) {
  const store = await openConversationStore(path, { readOnly: true });
  return {
    async answers(session) {
      const messages = await store.listMessages(session, { limit: Infinity });
      return messages.filter(({ role }) => role === "assistant").map(({ content }) => content);
    },
    close: () => store.close(),
  };
}
