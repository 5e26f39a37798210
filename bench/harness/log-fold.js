/**
 * A plain fold of turnlog's events into the contents of messages, in memory: what a user of another event store would
 * write himself. It knows what the logs of this benchmark hold, and nothing of replacements, forks and deletions.
 */
import { createHash } from "node:crypto";

export class LogFold {
  /** Contents by message id. */
  #contents = new Map();

  apply({ type, data }) {
    if (type === "MessageSaved" || type === "AssistantStubAppended") {
      this.#contents.set(data.messageId, data.content);
    } else if (type === "BranchesUpdated") {
      let content = data.pushContent === true ? "[]" : this.#contents.get(data.messageId);
      for (const [at, del, ins] of data.content ?? []) {
        content = content.slice(0, at) + ins + content.slice(at + del);
      }
      this.#contents.set(data.messageId, content);
    }
  }

  digest() {
    return contentDigest([...this.#contents].map(([id, content]) => ({ id, content })));
  }
}

/** The same for the same messages, whatever order they come in. */
export function contentDigest(messages) {
  const hash = createHash("sha256");
  for (const { id, content } of messages.toSorted((a, b) => a.id - b.id)) hash.update(`${id} ${content}\n`);
  return hash.digest("hex");
}
