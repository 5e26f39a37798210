import { setTimeout as delay } from "node:timers/promises";
import { InvalidInputError, StateError } from "../../errors.ts";
import { parseStoreUrl, withoutCredentials } from "../../log/open-event-log.ts";
import type { StoredMessage } from "../../projections/stored-message.ts";
import { recordLines } from "../../recording/record-stream.ts";
import type { ConversationStore } from "../../store/conversation-store.ts";
import { openConversationStore } from "../../store/open-conversation-store.ts";
import type { CliContext } from "../cli-context.ts";
import { ExitCode } from "../exit-code.ts";
import { DemoPrinter } from "./demo-printer.ts";
import { type DemoLine, lineToKillAt, readDemoRecording } from "./demo-recording.ts";
import { fileBytes, snapshotCost } from "./demo-sizes.ts";
import { LiveView } from "./live-view.ts";
import { RecorderProcess } from "./recorder-process.ts";
import { type Survival, linesThatMake, toSentParts } from "./survival.ts";

export interface DemoOptions {
  storeUrl: string;
  /** What to add to the commands that are suggested, so that they find the store. */
  storeArguments: string;
  paceMs: number;
}

const QUESTION = "Why did last night's deploy fail?";
const NEXT_QUESTION = "You stopped in the middle. What happened?";

/** How long the log may take to show what was sent; on a machine that can run the demo at all it is milliseconds. */
const PATIENCE_MS = 60_000;

/** The main job: a turn is recorded, killed in the middle, looked at, recovered, and followed by the next. */
export async function runDemo(options: DemoOptions, context: CliContext): Promise<void> {
  const { storeUrl } = options;
  const location = parseStoreUrl(storeUrl);
  if (location.engine === "memory") {
    throw new InvalidInputError(
      "memory-store",
      "The demo needs a store that two processes can open: name a file with --store.",
    );
  }
  const print = new DemoPrinter(context.out);
  const store = await openConversationStore(storeUrl, { label: "turnlog demo" });
  const sessionId = await newSessionId(store);
  const demo = new Demo(store, sessionId, options, context, print);
  let outcome: DemoOutcome;
  try {
    outcome = await demo.run();
  } catch (error) {
    await store.close().catch(() => undefined);
    throw error;
  }
  await store.close();
  // Only now: while the store is open its files are SQLite's alone.
  if (location.engine === "sqlite") await print.fileSize(location.path, await fileBytes(location.path));
  await print.whereToLook(sessionId, outcome.crashRevision, options.storeArguments);
  if (!outcome.survived) context.exitCode = ExitCode.problem;
}

async function newSessionId(store: ConversationStore): Promise<string> {
  const sessions = await store.listSessions({ prefix: "demo-", limit: Infinity });
  const numbers = sessions.map(({ id }) => /^demo-(\d{1,9})$/.exec(id)?.[1]).map(Number);
  return `demo-${Math.max(0, ...numbers.filter(Number.isInteger)) + 1}`;
}

interface DemoOutcome {
  /** What had to survive did. */
  survived: boolean;
  /** The newest event when the process had been killed. */
  crashRevision: number;
}

class Demo {
  readonly #store: ConversationStore;
  readonly #sessionId: string;
  readonly #options: DemoOptions;
  readonly #context: CliContext;
  readonly #print: DemoPrinter;

  constructor(
    store: ConversationStore,
    sessionId: string,
    options: DemoOptions,
    context: CliContext,
    print: DemoPrinter,
  ) {
    this.#store = store;
    this.#sessionId = sessionId;
    this.#options = options;
    this.#context = context;
    this.#print = print;
  }

  async run(): Promise<DemoOutcome> {
    const lines = readDemoRecording("incident-review.jsonl");
    await this.#print.beginning(withoutCredentials(this.#options.storeUrl), this.#sessionId, QUESTION);
    const survival = await this.#recordAndKill(lines);
    const { revision: crashRevision } = await this.#store.readSession(this.#sessionId);
    const survived = await this.#judge(lines, survival);
    await this.#recover();
    await this.#recordNextTurn();
    await this.#showConversation();
    return { survived, crashRevision };
  }

  /** Feeds a recorder until the middle of a tool call and kills it there; undefined where the log holds something else. */
  async #recordAndKill(lines: readonly DemoLine[]): Promise<Survival | undefined> {
    const sentLines = lineToKillAt(lines) + 1;
    const recorder = new RecorderProcess(this.#sessionId, this.#options.storeUrl, QUESTION);
    const view = new LiveView(this.#context.out);
    const watch = this.#watch(view);
    let lastSentAt = 0;
    try {
      for (const [index, line] of lines.slice(0, sentLines).entries()) {
        watch.check();
        // The open tool call must have reached the log, or the kill would show nothing of interest.
        if (index === sentLines - 1) await this.#untilToolCallShows(lines[index - 1], view, recorder, watch);
        recorder.send(line.text);
        lastSentAt = performance.now();
        if (index < sentLines - 1) await delay(modelPace(this.#options.paceMs, index));
      }
      const seen = view.seen;
      const killedAt = performance.now();
      await recorder.kill();
      await watch.stop();
      const message = await this.#store.lastAssistantMessage(this.#sessionId);
      await view.take(message);
      await view.end();
      await this.#print.killed(recorder.pid, sentLines, lines.length, killedAt - lastSentAt);
      const keptLines = linesThatMake(message.parts, lines, sentLines);
      const seenLines = linesThatMake(seen, lines, sentLines);
      return keptLines === undefined || seenLines === undefined
        ? undefined
        : { sentLines, keptLines, seenLines };
    } finally {
      await recorder.kill();
      await watch.stop();
    }
  }

  /** Waits for the last tool call of this line, with arguments: on a busy machine the recorder is still at an earlier one. */
  async #untilToolCallShows(
    line: DemoLine | undefined,
    view: LiveView,
    recorder: RecorderProcess,
    watch: Watch,
  ): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    const isShown = (): boolean => {
      const seen = toSentParts(view.seen);
      return seen.length === line?.parts.length && seen.at(-1)?.text !== "";
    };
    while (!isShown()) {
      watch.check();
      recorder.send(""); // Throws once it has ended.
      if (performance.now() > deadline) {
        throw new StateError("demo-stuck", `The log did not show the tool call within ${PATIENCE_MS} ms.`);
      }
      await delay(5);
    }
  }

  async #judge(lines: readonly DemoLine[], survival: Survival | undefined): Promise<boolean> {
    const survived = survival !== undefined && survival.keptLines >= survival.seenLines;
    await this.#print.survival(lines, survival, survived);
    return survived;
  }

  async #recover(): Promise<void> {
    const reports = await this.#store.recoverInterruptedTurns({ sessionId: this.#sessionId });
    if (reports.length !== 1) {
      throw new StateError("demo-recovery", `One turn should have been left open, not ${reports.length}.`);
    }
    for (const report of reports) await this.#print.recovered(report);
  }

  async #recordNextTurn(): Promise<void> {
    await this.#print.nextTurn(NEXT_QUESTION);
    const view = new LiveView(this.#context.out);
    const turn = await this.#store.beginTurn(this.#sessionId, { user: NEXT_QUESTION });
    const watch = this.#watch(view, turn.messageId);
    try {
      const lines = readDemoRecording("after-the-crash.jsonl");
      const summary = await recordLines(turn, paced(lines, this.#options.paceMs, watch), {
        protocol: "anthropic",
      });
      watch.check();
      if (summary.outcome !== "finished") {
        throw new StateError("demo-next-turn", `The next turn ended as ${summary.outcome}.`);
      }
    } finally {
      await watch.stop();
    }
    await view.take(await this.#store.lastAssistantMessage(this.#sessionId));
    await view.end();
  }

  async #showConversation(): Promise<void> {
    const messages = await this.#store.listMessages(this.#sessionId);
    const [size] = await this.#store.listSessionSizes({ prefix: this.#sessionId, limit: 1 });
    const snapshots = await snapshotCost(this.#store.log, this.#sessionId);
    await this.#print.conversation(messages);
    await this.#print.sizes(size?.events ?? 0, size?.bytes ?? 0, snapshots);
  }

  #watch(view: LiveView, messageId?: number): Watch {
    return new Watch(this.#store, this.#sessionId, (message) =>
      message.role === "assistant" && (messageId === undefined || message.id === messageId)
        ? view.take(message)
        : Promise.resolve(),
    );
  }
}

/** Follows the session through the log, as another process would. */
class Watch {
  readonly #controller = new AbortController();
  readonly #done: Promise<void>;
  #failure: { error: unknown } | undefined;

  constructor(store: ConversationStore, sessionId: string, take: (message: StoredMessage) => Promise<void>) {
    const follow = async (): Promise<void> => {
      for await (const change of store.watch(sessionId, { signal: this.#controller.signal })) {
        if (change.kind === "message") await take(change.message);
        if (change.kind === "snapshot") for (const message of change.messages) await take(message);
      }
    };
    this.#done = follow().catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  /** Throws what has gone wrong meanwhile: the reader of the output may have gone. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#done;
  }
}

async function* paced(lines: readonly DemoLine[], paceMs: number, watch: Watch): AsyncGenerator<string> {
  for (const [index, { text }] of lines.entries()) {
    watch.check();
    await delay(modelPace(paceMs, index));
    yield text;
  }
}

/** Models do not tick like a clock: between half of the pace and one and a half, the same in each run. */
function modelPace(paceMs: number, index: number): number {
  return paceMs * (0.5 + ((index * 37) % 101) / 100);
}
