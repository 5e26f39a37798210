import { sessionOfStream } from "../events/conversation-event.ts";

/** What may be wrong; stable. docs/forensics-verify.md explains each. */
export type FindingCode =
  // The file.
  | "damaged-file"
  | "damaged-row"
  | "damaged-page"
  | "nameless-row"
  // Events and their order.
  | "missing-events"
  | "reads-disagree"
  | "position-not-rising"
  | "repeated-position"
  | "position-above-head"
  | "repeated-event-id"
  // What events say.
  | "unknown-event"
  | "invalid-event"
  | "misplaced-event"
  | "missing-counters"
  | "repeated-counter"
  | "unfoldable-event"
  | "content-checksum"
  | "message-id-outside-block"
  | "repeated-message-id"
  | "result-without-call"
  // The views.
  | "views-damaged"
  | "views-ahead"
  | "views-differ";

export interface Finding {
  readonly code: FindingCode;
  /** One line. May hold names and text from the log. */
  readonly message: string;
  /** null, here and below: the finding is of no one stream, revision or position. */
  readonly stream: string | null;
  readonly sessionId: string | null;
  readonly revision: number | null;
  /** Of a range: the last one, included. */
  readonly lastRevision: number | null;
  readonly position: number | null;
  readonly lastPosition: number | null;
}

/** What is worth knowing and nothing wrong. */
export interface Note {
  readonly code:
    | "lost-before-salvage"
    | "set-aside-by-salvage"
    | "partial-copy"
    | "purged-events"
    | "unfinished-fork"
    | "views-not-compared"
    | "file-not-searched";
  readonly message: string;
}

export interface VerifiedViews {
  /** `none`: there are none. `not-compared`: a note says why. */
  state: "equal" | "different" | "none" | "not-compared";
  /** Sessions and messages that were compared. */
  sessions: number;
  messages: number;
}

export interface VerifyReport {
  /** null where a damaged file has lost it. */
  logId: string | null;
  /** Position of the newest event, -1 for none. */
  head: number;
  /** `log`: read as every reader does. `file`: it could not be, and the file was searched row by row. */
  readFrom: "log" | "file";
  /** Events that can be read. */
  events: number;
  streams: number;
  /** Sessions that have events. */
  sessions: number;
  /** Ids of those that are damaged. */
  damagedSessions: string[];
  /** Events that are certainly lost, as far as anything still tells of them. */
  lostEvents: number;
  findings: Finding[];
  /** Findings by code. */
  counts: Partial<Record<FindingCode, number>>;
  notes: Note[];
  views: VerifiedViews;
}

/** Where a finding is. */
export interface FindingPlace {
  stream?: string | undefined;
  revision?: number | undefined;
  lastRevision?: number | undefined;
  position?: number | undefined;
  lastPosition?: number | undefined;
}

/** Gathers what is found. */
export class Findings {
  readonly findings: Finding[] = [];
  readonly notes: Note[] = [];
  readonly damagedStreams = new Set<string>();
  lostEvents = 0;
  readonly #onFinding: ((finding: Finding) => void) | undefined;

  constructor(onFinding?: (finding: Finding) => void) {
    this.#onFinding = onFinding;
  }

  add(code: FindingCode, message: string, place: FindingPlace = {}): void {
    const { stream } = place;
    // Views are made anew; the session itself is whole.
    if (stream !== undefined && code !== "views-differ") this.damagedStreams.add(stream);
    const finding: Finding = {
      code,
      message,
      stream: stream ?? null,
      sessionId: (stream === undefined ? undefined : sessionOfStream(stream)) ?? null,
      revision: place.revision ?? null,
      lastRevision: place.lastRevision ?? null,
      position: place.position ?? null,
      lastPosition: place.lastPosition ?? null,
    };
    this.findings.push(finding);
    this.#onFinding?.(finding);
  }

  note(code: Note["code"], message: string): void {
    this.notes.push({ code, message });
  }

  /** Events of a stream that are not there, from one revision to another, both included. */
  lost(stream: string, from: number, to: number): void {
    const count = to - from + 1;
    this.lostEvents += count;
    const what = count === 1 ? `revision ${from}` : `revisions ${from} to ${to}`;
    this.add("missing-events", `Stream "${stream}" has lost ${what}.`, {
      stream,
      revision: from,
      lastRevision: to,
    });
  }

  counts(): Partial<Record<FindingCode, number>> {
    const counts: Partial<Record<FindingCode, number>> = {};
    for (const { code } of this.findings) counts[code] = (counts[code] ?? 0) + 1;
    return counts;
  }
}
