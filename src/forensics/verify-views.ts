import type { Conversation } from "../projections/conversation.ts";
import { ConversationViews, FOLD_VERSION, type GenerationRecord } from "../projections/conversation-views.ts";
import { fileExists } from "../projections/open-views.ts";
import { isDamagedViews } from "../projections/view-errors.ts";
import { StaleView } from "../projections/message-collection.ts";
import { Differences } from "../projections/rebuild-verify.ts";
import type { ViewGeneration } from "../projections/view-generation.ts";
import { viewsKind } from "../projections/views-schema.ts";
import { conversationStream } from "../events/conversation-event.ts";
import { Database } from "../log/sqlite/engine.ts";
import type { Findings, VerifiedViews } from "./verify-report.ts";

const ADVICE = 'The log is not touched by it: "turnlog rebuild" makes them anew.';

/** Compares the views with what the fold makes of the log, each session at the revision of its rows. */
export class ViewsVerifier {
  readonly #views: ConversationViews | undefined;
  readonly #current: GenerationRecord | undefined;
  readonly #findings: Findings;
  readonly #differences = new Differences();
  /** Sessions whose rows a writer has moved on meanwhile. */
  readonly moved: string[] = [];
  #state: VerifiedViews["state"];
  #isOver = false;

  private constructor(
    findings: Findings,
    state: VerifiedViews["state"],
    views?: ConversationViews,
    current?: GenerationRecord,
  ) {
    this.#findings = findings;
    this.#state = state;
    this.#views = views;
    this.#current = current;
  }

  /** @param path undefined where there are to be none */
  static async open(
    path: string | undefined,
    logId: string | undefined,
    head: number,
    findings: Findings,
  ): Promise<ViewsVerifier> {
    if (path === undefined || !(await fileExists(path))) return new ViewsVerifier(findings, "none");
    const without = (why: string): ViewsVerifier => {
      findings.note("views-not-compared", `The views ${path} are not compared: ${why}.`);
      return new ViewsVerifier(findings, "not-compared");
    };
    let database: Database | undefined;
    try {
      database = new Database(path, { readOnly: true });
      const kind = viewsKind(database);
      if (kind !== "ours") {
        database.close();
        return without(kind === "foreign" ? "they are another program's file" : `their format is ${kind}`);
      }
      const views = new ConversationViews(path, database, true);
      const current = views.read(() => views.current());
      const why =
        current === undefined
          ? "none are in service"
          : current.logId !== logId
            ? "they are of another log"
            : current.foldVersion !== FOLD_VERSION
              ? "they are of another version of turnlog"
              : undefined;
      if (why !== undefined || current === undefined) {
        views.close();
        return without(why ?? "none are in service");
      }
      const verifier = new ViewsVerifier(findings, "equal", views, current);
      const ahead = Math.max(current.checkpoint.position, current.highest.position);
      if (ahead > head) {
        verifier.#state = "different";
        findings.add(
          "views-ahead",
          `The views ${path} know of position ${ahead}, and the log ends at ${head}: it may have lost its newest events.`,
          { position: head + 1, lastPosition: ahead },
        );
      }
      return verifier;
    } catch (error) {
      database?.close();
      if (!isDamagedViews(error)) return without(error instanceof Error ? error.message : String(error));
      findings.add("views-damaged", `The views ${path} are damaged (${String(error)}). ${ADVICE}`);
      return new ViewsVerifier(findings, "different");
    }
  }

  /** The revision of the session's rows, undefined where it has none. */
  revisionOf(sessionId: string): number | undefined {
    return this.#read((rows) => rows.placeOf(sessionId)?.revision);
  }

  /** Compares a session's rows with a state of their revision; false where they have moved on. */
  compare(sessionId: string, state: Conversation): boolean {
    const isCompared = this.#read((rows) => {
      if (rows.placeOf(sessionId)?.revision !== state.revision) return false;
      this.#differences.compare(sessionId, rows, state);
      return true;
    });
    if (isCompared === false) this.moved.push(sessionId);
    return isCompared !== false;
  }

  /** The rows are of a revision that the log does not have. */
  beyond(sessionId: string, revision: number): void {
    this.#state = "different";
    this.#findings.add(
      "views-differ",
      `The views of session ${JSON.stringify(sessionId)} are as of revision ${revision}, which the log cannot be folded up to. ${ADVICE}`,
      { stream: conversationStream(sessionId), revision },
    );
  }

  /** Tells of sessions that only one side has. @param firstPositions of the sessions that the log has */
  compareNames(firstPositions: ReadonlyMap<string, number>): void {
    this.#read((rows) => {
      for (const name of rows.names())
        if (!firstPositions.has(name) && rows.placeOf(name) !== undefined)
          this.#differences.missing(name, "session", undefined);
      const checkpoint = this.#current?.checkpoint.position ?? -1;
      for (const [name, first] of firstPositions)
        if (first <= checkpoint && rows.placeOf(name) === undefined)
          this.#differences.missing(name, undefined, "session");
    });
  }

  finish(): VerifiedViews {
    const { differences, differingSessions, differingMessages, sessions, messages } =
      this.#differences.report();
    for (const { session, messageId, field, old, new: fresh } of differences) {
      const what = messageId === undefined ? "" : ` of message ${messageId}`;
      this.#findings.add(
        "views-differ",
        `The views say otherwise than the log, ${field}${what}: ${old ?? "nothing"} instead of ${fresh ?? "nothing"}. ${ADVICE}`,
        { stream: conversationStream(session) },
      );
    }
    if (differingSessions > 0 || differingMessages > 0) this.#state = "different";
    return { state: this.#state, sessions, messages };
  }

  close(): void {
    this.#views?.close();
  }

  /** Undefined where there are no views, or they turn out to be damaged: which is told once. */
  #read<Result>(work: (rows: ViewGeneration) => Result): Result | undefined {
    const [views, current] = [this.#views, this.#current];
    if (views === undefined || current === undefined || this.#isOver) return undefined;
    try {
      return views.read(() => work(views.rows(current.generation)));
    } catch (error) {
      this.#isOver = true;
      if (error instanceof StaleView) {
        this.#state = "not-compared";
        this.#findings.note("views-not-compared", `The views ${views.path} were made anew meanwhile.`);
        return undefined;
      }
      this.#state = "different";
      this.#findings.add(
        "views-damaged",
        `The views ${views.path} cannot be read (${String(error)}). ${ADVICE}`,
      );
      return undefined;
    }
  }
}
