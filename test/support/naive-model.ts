/**
 * What the store means, written down naively: whole contents in plain arrays, no events, no splices. Ids come
 * from the store, everything else is computed here.
 */
export interface ModelMessage {
  id: number;
  role: string;
  content: string;
  branchesJson: string;
  activeBranch: number;
  status: string;
  externalId?: string;
  replaced?: true;
}

export class ModelSession {
  messages: ModelMessage[] = [];
  /** With replaced ones, in the order in which they are shown. */
  all: ModelMessage[] = [];
  title: string | undefined;
  exists = false;
  openTurn: ModelMessage | undefined;

  save(id: number, role: string, content: string, externalId?: string): void {
    if (this.byExternalId(externalId) !== undefined) return;
    if (role === "user") this.settle();
    this.#add({ id, role, content, externalId, status: "saved" });
  }

  byExternalId(externalId: string | undefined): ModelMessage | undefined {
    return externalId === undefined
      ? undefined
      : this.all.toSorted(byId).find((m) => m.externalId === externalId);
  }

  stub(id: number): ModelMessage {
    this.settle();
    if (this.openTurn) this.openTurn.status = "superseded";
    this.openTurn = undefined;
    return this.#add({ id, role: "assistant", content: "[]", status: "filling" });
  }

  beginTurn(id: number): void {
    this.openTurn = this.stub(id);
    this.openTurn.status = "open";
  }

  /** The answer that regenerate writes anew, undefined where it begins a new turn. */
  answer(): ModelMessage | undefined {
    const newest = this.messages.findLast(({ role }) => role === "assistant" || role === "user");
    return newest?.role === "assistant" ? newest : undefined;
  }

  regenerate(id: number): void {
    const answer = this.answer();
    if (!answer) return this.beginTurn(id);
    this.settle();
    if (this.openTurn) this.openTurn.status = "superseded";
    this.openTurn = answer;
    const old = parse(answer.branchesJson || "[]") as unknown[];
    if (answer.content !== "" && answer.content !== "[]") {
      const element = parse(answer.content) === undefined ? JSON.stringify(answer.content) : answer.content;
      const head =
        old.length === 0 ? "[" : answer.branchesJson.slice(0, answer.branchesJson.lastIndexOf("]")) + ",";
      answer.branchesJson = `${head}${element}]`;
      old.push(element);
    }
    Object.assign(answer, { content: "[]", activeBranch: old.length, status: "open" });
  }

  select(id: number, activeBranch: number): string | undefined {
    const message = this.current(id);
    if (!message) return "message-not-found";
    if (message.status === "open") return "turn-open";
    return this.update(id, message.content, message.branchesJson, activeBranch);
  }

  update(id: number, content: string, branchesJson: string, activeBranch: number): string | undefined {
    const message = this.current(id);
    if (!message) return "message-not-found";
    if (branchesJson !== message.branchesJson || activeBranch !== message.activeBranch) {
      const branches = branchesJson === "" ? [] : parse(branchesJson);
      if (!Array.isArray(branches)) return "invalid-branches";
      if (!Number.isInteger(activeBranch) || activeBranch < 0 || activeBranch > branches.length)
        return "branch-not-found";
    }
    Object.assign(message, { content, branchesJson, activeBranch });
    return undefined;
  }

  end(id: number, outcome: string): string | undefined {
    const message = this.current(id);
    if (!message) return "message-not-found";
    const canEnd =
      message.role === "assistant" && ["saved", "filling", "open", "superseded"].includes(message.status);
    if (!canEnd) return "turn-ended";
    message.status = outcome;
    if (this.openTurn === message) this.openTurn = undefined;
    return undefined;
  }

  /** `entries`: ids to keep, or new messages. */
  replace(entries: (number | { id: number; role: string; content: string })[]): void {
    const list = entries.map((entry) =>
      typeof entry === "number" ? this.all.find((m) => m.id === entry)! : make({ ...entry, status: "saved" }),
    );
    const stays = this.openTurn && !list.includes(this.openTurn) ? [...list, this.openTurn] : list;
    const before = this.all;
    this.messages = stays;
    for (const message of before) {
      if (stays.includes(message)) delete message.replaced;
      else message.replaced = true;
    }
    // Shown: each staying message behind the replaced ones that stood before the next message that stayed.
    const shown: ModelMessage[] = [];
    const show = (message: ModelMessage): void => void (shown.includes(message) || shown.push(message));
    for (const [index, message] of stays.entries()) {
      const next = stays.slice(index).find((m) => before.includes(m));
      const upTo = next ? before.indexOf(next) : before.length;
      for (const old of before.slice(0, upTo)) if (old.replaced) show(old);
      show(message);
    }
    for (const old of before) if (old.replaced) show(old);
    this.all = shown;
    this.exists = true;
  }

  /** The newest `kept` stay, behind a summary where one was made. */
  compact(kept: number, summaryId: number | undefined): void {
    const stays = kept === 0 ? [] : this.messages.slice(-kept).map(({ id }) => id);
    const summary = { id: summaryId ?? 0, role: "system", content: "[Conversation summary]: sum" };
    this.replace(summaryId === undefined ? stays : [summary, ...stays]);
  }

  delete(): void {
    Object.assign(this, new ModelSession());
  }

  current(id: number): ModelMessage | undefined {
    return this.messages.find((m) => m.id === id);
  }

  /** A bare stub that is being filled is over when something else begins. */
  settle(): void {
    for (const message of this.all) if (message.status === "filling") message.status = "saved";
  }

  #add(
    message: Pick<ModelMessage, "id" | "role" | "content" | "status"> & { externalId?: string | undefined },
  ): ModelMessage {
    const made = make(message);
    this.messages.push(made);
    this.all.push(made);
    this.exists = true;
    return made;
  }
}

function make(
  message: Pick<ModelMessage, "id" | "role" | "content" | "status"> & { externalId?: string | undefined },
): ModelMessage {
  const { externalId, ...rest } = message;
  return { ...rest, branchesJson: "", activeBranch: 0, ...(externalId === undefined ? {} : { externalId }) };
}

const byId = (a: ModelMessage, b: ModelMessage): number => a.id - b.id;

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
