import { MESSAGE_IDS_STREAM, conversationStream, writerStream } from "../events/conversation-event.ts";
import type { EventLog, RecordedEvent } from "../log/event-log.ts";
import { type Xray, openXray } from "../log/sqlite/xray.ts";
import type { Findings } from "./verify-report.ts";

export interface VerifyProgress {
  readonly phase: "structure" | "pages" | "reading" | "checking";
  readonly done: number;
  readonly total: number;
}

export type OnVerifyProgress = (progress: VerifyProgress) => void;

/** A stream as it was found on a first reading. */
export interface SurveyedStream {
  readonly name: string;
  readonly count: number;
  readonly last: number;
  /** What is known of its oldest revision that was kept, where something says so. */
  readonly firstRevision: number | undefined;
  /** The newest revision that it had, where something says so. */
  readonly headRevision: number | undefined;
}

/** Where verification reads from. */
export interface VerifySource {
  readonly kind: "log" | "file";
  readonly logId: string | undefined;
  /** Nothing above this position is looked at: it came later. */
  readonly head: number;
  /** The streams, ids of messages first. @param onDamage what stops the reading; where it returns, the rest is done without */
  survey(
    findings: Findings,
    onProgress: OnVerifyProgress | undefined,
    onDamage: (error: unknown) => void,
  ): Promise<SurveyedStream[]>;
  /** One stream's events up to the head, in order of revision. */
  read(stream: string): AsyncIterable<RecordedEvent> | Iterable<RecordedEvent>;
  /** The same, with those that have come since. */
  readOn(stream: string): AsyncIterable<RecordedEvent> | Iterable<RecordedEvent>;
}

const EVENTS_A_REPORT = 1_000;

/** A log that can be read as every reader reads it. */
export class LogSource implements VerifySource {
  readonly kind = "log";
  readonly logId: string;
  readonly head: number;
  readonly #log: EventLog;

  private constructor(log: EventLog, head: number) {
    this.#log = log;
    this.logId = log.logId;
    this.head = head;
  }

  static async of(log: EventLog): Promise<LogSource> {
    return new LogSource(log, await log.head());
  }

  async survey(
    findings: Findings,
    onProgress: OnVerifyProgress | undefined,
    onDamage: (error: unknown) => void,
  ): Promise<SurveyedStream[]> {
    const streams = new Map<string, { count: number; last: number }>();
    try {
      await this.#surveyAll(streams, findings, onProgress);
    } catch (error) {
      onDamage(error);
    }
    const unknown = { firstRevision: undefined, headRevision: undefined };
    return inOrder([...streams].map(([name, { count, last }]) => ({ name, count, last, ...unknown })));
  }

  async #surveyAll(
    streams: Map<string, { count: number; last: number }>,
    findings: Findings,
    onProgress: OnVerifyProgress | undefined,
  ): Promise<void> {
    let position = -1;
    let done = 0;
    for await (const event of this.#log.readAll()) {
      if (event.position > this.head) break;
      if (event.position <= position) {
        findings.add(
          "position-not-rising",
          `Position ${event.position} comes after position ${position}.`,
          event,
        );
      }
      position = event.position;
      const known = streams.get(event.stream);
      if (known === undefined) streams.set(event.stream, { count: 1, last: event.revision });
      else {
        known.count += 1;
        known.last = Math.max(known.last, event.revision);
      }
      if (++done % EVENTS_A_REPORT === 0)
        onProgress?.({ phase: "reading", done: position, total: this.head });
    }
  }

  async *read(stream: string): AsyncGenerator<RecordedEvent> {
    for await (const event of this.#log.readStream(stream)) {
      if (event.position > this.head && event.position <= (await this.#log.head())) return;
      yield event;
    }
  }

  readOn(stream: string): AsyncIterable<RecordedEvent> {
    return this.#log.readStream(stream);
  }
}

/** A damaged file, searched row by row. */
export class FileSource implements VerifySource {
  readonly kind = "file";
  readonly logId: string | undefined;
  readonly head: number;
  readonly #xray: Xray;

  private constructor(xray: Xray) {
    this.#xray = xray;
    this.logId = xray.logId;
    let head = -1;
    for (const { segments } of xray.streams.values())
      for (const { lastPosition } of segments) head = Math.max(head, lastPosition);
    this.head = head;
  }

  static async open(path: string, onProgress?: OnVerifyProgress): Promise<FileSource> {
    const xray = await openXray(path, {
      namesIn: streamsNamedIn,
      onProgress: ({ pages, totalPages }) => onProgress?.({ phase: "pages", done: pages, total: totalPages }),
    });
    return new FileSource(xray);
  }

  /** False where nothing in the file is a row of a log. */
  get hasEvents(): boolean {
    return this.head >= 0;
  }

  survey(findings: Findings): Promise<SurveyedStream[]> {
    for (const { code, message, firstPosition, lastPosition, stream } of this.#xray.damages)
      findings.add(code, message, { position: firstPosition, lastPosition, stream });
    for (const { name, contradiction } of this.#xray.streams.values()) {
      if (contradiction === undefined) continue;
      const what = `The table of streams says of "${name}" that it has packed ${contradiction}.`;
      findings.add("damaged-file", what, { stream: name });
    }
    const { highestPosition } = this.#xray;
    if (highestPosition > this.head) {
      findings.add(
        "missing-events",
        `The newest events are lost: the log had come to position ${highestPosition}, and the newest that is left is at ${this.head}.`,
        { position: this.head + 1, lastPosition: highestPosition },
      );
    }
    return Promise.resolve(
      inOrder(
        [...this.#xray.streams.values()].map((stream) => ({
          name: stream.name,
          count: stream.eventCount,
          last: stream.ranges().at(-1)?.to ?? -1,
          firstRevision: stream.row && stream.firstRevision,
          headRevision: stream.row?.headRevision,
        })),
      ),
    );
  }

  read(stream: string): Iterable<RecordedEvent> {
    return this.#xray.streams.get(stream)?.events() ?? [];
  }

  readOn(stream: string): Iterable<RecordedEvent> {
    return this.read(stream);
  }

  close(): void {
    this.#xray.close();
  }
}

/** Blocks of ids must be known before the messages that use them. */
function inOrder(streams: SurveyedStream[]): SurveyedStream[] {
  return streams.toSorted(
    (a, b) => Number(b.name === MESSAGE_IDS_STREAM) - Number(a.name === MESSAGE_IDS_STREAM),
  );
}

/** Streams that an event names: for rows in a damaged file whose own stream's name is lost. */
export function* streamsNamedIn({ type, data, metadata }: RecordedEvent): Generator<string> {
  yield MESSAGE_IDS_STREAM;
  if (typeof metadata["writer"] === "string") yield writerStream(metadata["writer"]);
  if (type !== "MessageIdsReserved" || typeof data !== "object" || data === null || Array.isArray(data))
    return;
  if (typeof data["sessionId"] === "string") yield conversationStream(data["sessionId"]);
}
