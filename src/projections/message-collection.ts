import type { FoldedMessage } from "./stored-message.ts";

/** Which messages, counted from which end. */
export interface MessageRange {
  /** Only messages before this id, exclusive. */
  before?: number | undefined;
  /** Only messages after this id, exclusive. */
  after?: number | undefined;
  limit: number;
  /** Count from the oldest of the range rather than from the newest. The result is ascending either way. */
  isOldestFirst: boolean;
  includeReplaced: boolean;
}

/** Thrown by a source that has moved past the state that is built on it, or is no more: load the state again. */
export class StaleView extends Error {
  override name = "StaleView";
}

/** Thrown by a source that is damaged: the state is to be folded from the log. */
export class DamagedView extends Error {
  override name = "DamagedView";
}

/**
 * The messages of a session that are not in memory: a persisted view, as it was at the state's revision. Every
 * member may throw `StaleView` or `DamagedView`.
 */
export interface MessageSource {
  /** Messages of the conversation, without replaced ones. */
  readonly count: number;
  byId(id: number): FoldedMessage | undefined;
  /** The first message with this external id. */
  byExternalId(externalId: string): FoldedMessage | undefined;
  page(range: MessageRange): FoldedMessage[];
  /** The newest message of the conversation with one of these roles. */
  newestOf(roles: readonly string[]): FoldedMessage | undefined;
  /** All, replaced ones too, in the order in which they are shown. */
  all(): FoldedMessage[];
}

/**
 * A session's messages in the order of the conversation. Those that a persisted view holds are loaded when they are
 * asked for, so that neither a read of the newest page nor an append grows with the length of the session.
 */
export class MessageCollection {
  /** What is not in memory; undefined once everything is. */
  #source: MessageSource | undefined;
  /** The newest messages that the source holds, as far as a page has asked for them: every turn asks again. */
  #newestOfSource: FoldedMessage[] = [];
  /** The conversation as it stands, and with replaced messages in their places: only what is behind the source. */
  #current: FoldedMessage[] = [];
  #all: FoldedMessage[] = [];
  readonly #byId = new Map<number, FoldedMessage>();
  readonly #byExternalId = new Map<string, FoldedMessage>();

  constructor(source?: MessageSource) {
    this.#source = source;
  }

  /** Messages of the conversation, without replaced ones. */
  get count(): number {
    return (this.#source?.count ?? 0) + this.#current.length;
  }

  /** UTF-16 units of content in memory. */
  loadedUnits(): number {
    let units = 0;
    for (const { content, branchesJson } of this.#byId.values())
      units += content.length + branchesJson.length;
    return units;
  }

  get(id: number): FoldedMessage | undefined {
    const known = this.#byId.get(id);
    if (known !== undefined || this.#source === undefined) return known;
    const loaded = this.#source.byId(id);
    return loaded && this.#keep(loaded);
  }

  /** The first message of the session with this external id, replaced or not. */
  getByExternalId(externalId: string): FoldedMessage | undefined {
    const older = this.#source?.byExternalId(externalId);
    return older === undefined ? this.#byExternalId.get(externalId) : this.#keep(older);
  }

  /** The newest message of the conversation with one of these roles. */
  newestOf(...roles: string[]): FoldedMessage | undefined {
    const appended = this.#current.findLast(({ role }) => roles.includes(role));
    if (appended !== undefined) return appended;
    const older = this.#source?.newestOf(roles);
    return older && this.#keep(older);
  }

  /** The whole conversation. */
  current(): readonly FoldedMessage[] {
    this.#loadAll();
    return this.#current;
  }

  /** With replaced messages, in the order in which they are shown. */
  all(): readonly FoldedMessage[] {
    this.#loadAll();
    return this.#all;
  }

  /** A page of the conversation, ascending; undefined where `before` or `after` is no message of it. */
  page(range: MessageRange): FoldedMessage[] | undefined {
    const appended = range.includeReplaced ? this.#all : this.#current;
    const before = this.#place(range.before, appended, range.includeReplaced);
    const after = this.#place(range.after, appended, range.includeReplaced);
    if (before === undefined || after === undefined) return undefined;
    const start = range.after === undefined || after < 0 ? 0 : after + 1;
    const end = range.before === undefined ? appended.length : Math.max(0, before);
    const isBehind = before >= 0 || range.before === undefined;
    const newer = isBehind ? cutRange(appended, start, Math.max(start, end), range) : [];
    const isAllNewer = range.after !== undefined && after >= 0;
    if (isAllNewer || this.#source === undefined) return newer;
    if (!range.isOldestFirst && newer.length >= range.limit) return newer;
    const limit = range.isOldestFirst ? range.limit : range.limit - newer.length;
    const older = this.#pageOfSource({ ...range, limit, before: before < 0 ? range.before : undefined });
    const page = [...older, ...newer];
    return cutRange(page, 0, page.length, range);
  }

  #pageOfSource(range: MessageRange): FoldedMessage[] {
    const { before, after, limit, isOldestFirst, includeReplaced } = range;
    const isNewest = before === undefined && after === undefined && !isOldestFirst && !includeReplaced;
    if (isNewest && Math.min(limit, this.#source?.count ?? 0) <= this.#newestOfSource.length)
      return cutRange(this.#newestOfSource, 0, this.#newestOfSource.length, range);
    const page = this.#source?.page(range).map((message) => this.#keep(message)) ?? [];
    if (isNewest) this.#newestOfSource = page;
    return page;
  }

  /**
   * Where a message stands among those behind the source: -1 for one that the source holds (or for no id at all),
   * undefined for none of the conversation.
   */
  #place(
    id: number | undefined,
    appended: readonly FoldedMessage[],
    includeReplaced: boolean,
  ): number | undefined {
    if (id === undefined) return -1;
    const place = appended.findIndex((message) => message.id === id);
    if (place >= 0) return place;
    const message = this.#source === undefined ? undefined : this.get(id);
    return message === undefined || (message.replaced && !includeReplaced) ? undefined : -1;
  }

  /** As `register`, at the end of the conversation. */
  append(message: FoldedMessage, highestId: number): void {
    this.register(message, highestId);
    this.#current.push(message);
    this.#all.push(message);
  }

  /**
   * Makes a message known that a replacement will put in its place.
   * @param highestId of all that there are: the source need not be asked for one above it.
   * @throws {Error} where the id exists already.
   */
  register(message: FoldedMessage, highestId: number): void {
    if (message.id <= highestId && this.get(message.id) !== undefined)
      throw new Error(`message ${message.id} exists already`);
    this.#byId.set(message.id, message);
    const { externalId } = message;
    if (externalId !== undefined && !this.#byExternalId.has(externalId))
      this.#byExternalId.set(externalId, message);
  }

  /** The conversation in a new order. */
  reorder(current: FoldedMessage[], all: FoldedMessage[]): void {
    this.#loadAll();
    this.#current = current;
    this.#all = all;
  }

  clear(): void {
    this.#source = undefined;
    this.#newestOfSource = [];
    this.#current = [];
    this.#all = [];
    this.#byId.clear();
    this.#byExternalId.clear();
  }

  #loadAll(): void {
    const source = this.#source;
    if (source === undefined) return;
    const older = source.all().map((message) => this.#keep(message));
    this.#source = undefined;
    this.#newestOfSource = [];
    this.#all = [...older, ...this.#all];
    this.#current = [...older.filter((message) => !message.replaced), ...this.#current];
    for (const message of older.toReversed()) {
      if (message.externalId !== undefined) this.#byExternalId.set(message.externalId, message);
    }
  }

  /** One object a message: what events have changed since wins over what the view holds. */
  #keep(loaded: FoldedMessage): FoldedMessage {
    const known = this.#byId.get(loaded.id);
    if (known !== undefined) return known;
    this.#byId.set(loaded.id, loaded);
    return loaded;
  }
}

/** At most `limit` messages of the slice, without copying the rest. */
function cutRange(
  messages: readonly FoldedMessage[],
  start: number,
  end: number,
  { limit, isOldestFirst }: MessageRange,
): FoldedMessage[] {
  if (limit >= end - start) return messages.slice(start, end);
  return isOldestFirst ? messages.slice(start, start + limit) : messages.slice(end - limit, end);
}
