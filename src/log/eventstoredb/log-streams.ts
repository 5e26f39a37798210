/** How a log's streams are named on a server that it shares with others. */
export class LogStreams {
  /** Begins the name of every stream of the log, and of no other's: a log's name holds no dot. */
  readonly prefix: string;

  constructor(logName: string) {
    this.prefix = `${logName}.`;
  }

  /** The log's own stream. No caller's has this name, since theirs are never empty. */
  get control(): string {
    return this.prefix;
  }

  onServer(stream: string): string {
    return this.prefix + stream;
  }

  /** The caller's name of a stream of the log; undefined for the log's own stream and for others'. */
  inLog(serverName: string): string | undefined {
    if (!serverName.startsWith(this.prefix) || serverName.length === this.prefix.length) return undefined;
    return serverName.slice(this.prefix.length);
  }
}
