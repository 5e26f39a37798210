/** turnlog as it is meant: the turn writer takes the deltas and coalesces those of its window, 20 ms by default. */
import { join } from "node:path";
import { openConversationStore } from "../../dist/index.js";

export { answersIn } from "./turnlog-answers.js";

/** What a kill -9 takes along. */
export const lostAtKill = "≤ 20 ms of text";

export async function open(folder, { durability }) {
  const store = await openConversationStore(join(folder, "store.db"), { durability });
  return {
    async beginTurn(session, user) {
      const turn = await store.beginTurn(session, { user });
      return {
        delta: (text) => turn.textDelta(text),
        toolCall: (call) => turn.toolCall(call),
        toolResult: (toolId, output) => turn.toolResult(toolId, output),
        finish: () => turn.finish(),
      };
    },
    close: () => store.close(),
  };
}
