/**
 * turnlog as a drop-in: the same calls as the original design's, one awaited `updateBranches` with the full content
 * per step. Nothing that was awaited is lost at a kill.
 */
import { join } from "node:path";
import { openConversationStore } from "../../dist/index.js";
import { GrowingContent } from "../harness/model-output.js";

export { answersIn } from "./turnlog-answers.js";

export const lostAtKill = "nothing";

export async function open(folder, { durability }) {
  const store = await openConversationStore(join(folder, "store.db"), { durability });
  return {
    async beginTurn(session, user) {
      await store.saveMessage(session, "user", user);
      const id = await store.appendAssistantStub(session);
      const content = new GrowingContent();
      const update = (whole) => store.updateBranches(id, whole, "", 0);
      return {
        delta: (text) => update(content.text(text)),
        toolCall: (call) => update(content.toolCall(call)),
        toolResult: (_toolId, output) => update(content.toolResult(output)),
        finish: () => store.endTurn(id, "finished"),
      };
    },
    close: () => store.close(),
  };
}
