import { join } from "node:path";
import { openConversationStore } from "../../dist/index.js";
import { comparableParts } from "../harness/model-turn.js";

/** The parts of the session's answers, in order, read back from the closed store. */
export async function answersIn(folder) {
  const store = await openConversationStore(join(folder, "store.db"), { readOnly: true });
  return {
    async answers(session) {
      const messages = await store.listMessages(session, { limit: Infinity });
      return messages.filter(({ role }) => role === "assistant").map(({ parts }) => comparableParts(parts));
    },
    close: () => store.close(),
  };
}
