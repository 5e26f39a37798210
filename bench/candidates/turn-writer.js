/** turnlog as it is meant: the turn writer takes the deltas and coalesces those of its window, 20 ms by default. */
import { openConversationStore } from "../../dist/index.js";

export { answersIn } from "./turnlog-answers.js";

export async function open(path, { durability }) {
  const store = await openConversationStore(path, { durability });
  return {
    async beginTurn(session, user) {
      const turn = await store.beginTurn(session, { user });
      return { delta: (text) => turn.textDelta(text), finish: () => turn.finish() };
    },
    close: () => store.close(),
  };
}
