/**
 * turnlog as a drop-in: the same calls as the baseline's, one awaited `updateBranches` with the full content per
 * delta. Nothing that was awaited is lost at a kill.
 */
import { openConversationStore } from "../../dist/index.js";
import { GrowingContent } from "../harness/model-output.js";

export { answersIn } from "./turnlog-answers.js";

export async function open(path, { durability }) {
  const store = await openConversationStore(path, { durability });
  return {
    async beginTurn(session, user) {
      await store.saveMessage(session, "user", user);
      const id = await store.appendAssistantStub(session);
      const content = new GrowingContent();
      return {
        delta: (text) => store.updateBranches(id, content.append(text), "", 0),
        finish: () => store.endTurn(id, "finished"),
      };
    },
    close: () => store.close(),
  };
}
