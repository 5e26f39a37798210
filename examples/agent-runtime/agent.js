import { streamText } from "ai";
import { Compactor, recordStream, recordedTools } from "turnlog";

const MOST_STEPS = 20;

/** What the model is told where the prompt would end with its own half answer, which providers do not go on with. */
const GO_ON = "[The runtime was restarted while you were answering. Go on where you were.]";

/**
 * An agent on one session. Everything that must survive a crash goes through the store and its turns; the agent
 * itself keeps nothing that a new process would need.
 *
 * @param options.approve asks a human: `(call: {name, input}) => Promise<boolean>`
 * @param options.display what to show: `part(streamPart)`, `interrupted(report)` and `note(text)`
 */
export class Agent {
  constructor({ store, session, model, tools, approve, display, maxMessages }) {
    Object.assign(this, { store, session, model, tools, approve, display });
    this.compactor = new Compactor({ maxMessages, summarize: (messages) => this.summarize(messages) });
  }

  /** Answers the user. The message is saved in the same append that begins the turn. */
  async ask(user) {
    return this.run(await this.store.beginTurn(this.session, { user, model: this.model.modelId }));
  }

  /** Answers the last question anew; the old answer stays as a branch. */
  async regenerate() {
    return this.run(await this.store.regenerate(this.session, { model: this.model.modelId }));
  }

  /** Ends what a crash left open, tells what was in flight, and finishes it. To be called at every start. */
  async recover() {
    for (const report of await this.store.recoverInterruptedTurns({ sessionId: this.session })) {
      this.display.interrupted(report);
    }
    // Read from the log and not from the reports: a crash may have come right after the turn was ended.
    const [last] = await this.store.listMessages(this.session, { limit: 1 });
    if (last?.status !== "interrupted") return;
    if (!last.parts.some((part) => part.kind === "tool")) {
      this.display.note("resuming: nothing but text was lost, so the answer is written anew");
      return this.regenerate();
    }
    // Tools have run, or may have: the prompt tells the model of each what is known, and the model goes on.
    this.display.note("resuming: going on behind the tool calls that were made");
    await this.answerApprovals(last);
    return this.run(await this.store.beginTurn(this.session, { model: this.model.modelId }));
  }

  /** The loop: one model call a step, until the model has nothing more to run. */
  async run(turn) {
    const tools = recordedTools(turn, this.tools); // Each start is on disk before the tool runs.
    const usage = { inputTokens: 0, outputTokens: 0 };
    for (let step = 0; step < MOST_STEPS; step++) {
      const { fullStream } = streamText({
        model: this.model,
        messages: await promptOf(turn),
        tools,
        onError: () => {}, // The turn is failed with it, which is told below.
      });
      const recorded = await recordStream(turn, this.shown(fullStream), { endTurn: false });
      if (recorded.outcome !== "open") throw new Error(recorded.error?.message ?? recorded.outcome);
      usage.inputTokens += recorded.usage?.inputTokens ?? 0;
      usage.outputTokens += recorded.usage?.outputTokens ?? 0;
      for (const call of recorded.pendingApprovals) {
        const answer = (await this.approve(call)) ? "approved" : "denied";
        await turn.toolApproval(call.toolId, answer, { approvalId: call.approvalId });
      }
      if (recorded.finishReason === "tool-calls") continue;
      await turn.finish({ finishReason: recorded.finishReason, usage });
      return this.compact();
    }
    await turn.fail({ code: "too-many-steps", message: `The model was not done after ${MOST_STEPS} steps.` });
    throw new Error(`The model was not done after ${MOST_STEPS} steps.`);
  }

  /** The crash came while a human was being asked: ask again, and put the answer where the prompt finds it. */
  async answerApprovals(message) {
    const parts = [];
    for (const part of message.parts) {
      if (part.state !== "approval-requested") parts.push(part);
      else {
        const approved = await this.approve({ name: part.name, input: JSON.parse(part.input) });
        const state = approved ? "approval-responded" : "output-denied";
        parts.push({ ...part, state, approval: { ...part.approval, approved } });
      }
    }
    const { id, branchesJson, activeBranch } = message;
    await this.store.updateBranches(id, JSON.stringify(parts), branchesJson, activeBranch);
  }

  async compact() {
    const { strategy, replaced, kept } = await this.compactor.compact(this.store, this.session);
    if (strategy !== "none")
      this.display.note(`compacted: ${replaced} messages by ${strategy}, ${kept} kept`);
  }

  async summarize(messages) {
    const lines = messages.map(
      ({ role, parts }) => `${role}: ${parts.map(({ text }) => text ?? "").join("")}`,
    );
    return streamText({ model: this.model, prompt: `Summarize:\n${lines.join("\n")}` }).text;
  }

  async *shown(stream) {
    for await (const part of stream) {
      this.display.part(part);
      yield part;
    }
  }
}

async function promptOf(turn) {
  const prompt = await turn.prompt();
  return prompt.at(-1)?.role === "assistant" ? [...prompt, { role: "user", content: GO_ON }] : prompt;
}
