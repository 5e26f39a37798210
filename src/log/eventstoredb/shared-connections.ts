import type { ConnectionSettings } from "./connection-settings.ts";
import { ServerConnection } from "./server-connection.ts";
import { StreamAppender } from "./stream-appender.ts";

/** What the logs of one process on one server share. */
export interface SharedConnection {
  readonly connection: ServerConnection;
  readonly appender: StreamAppender;
}

interface Entry extends SharedConnection {
  handles: number;
}

/** Survives two copies of the package in one process: they share connections too. */
const REGISTRY = Symbol.for("turnlog.eventstoredb.connections.1");

/** @throws what opening a connection throws */
export function acquireConnection(key: string, settings: ConnectionSettings): SharedConnection {
  const connections = registry();
  const known = connections.get(key);
  if (known !== undefined) {
    known.handles += 1;
    return known;
  }
  const connection = new ServerConnection(settings);
  const entry: Entry = { connection, appender: new StreamAppender(connection), handles: 1 };
  connections.set(key, entry);
  return entry;
}

/** The last one to release it closes it. */
export async function releaseConnection(key: string): Promise<void> {
  const connections = registry();
  const entry = connections.get(key);
  if (entry === undefined) return;
  entry.handles -= 1;
  if (entry.handles > 0) return;
  connections.delete(key);
  await entry.connection.close();
}

function registry(): Map<string, Entry> {
  const holder = globalThis as { [REGISTRY]?: Map<string, Entry> };
  return (holder[REGISTRY] ??= new Map());
}
