/** emmett's way of making a read model anew: a consumer that hands every event to a processor, from the beginning. */
import { append, openStore } from "./emmett.js";
import { join } from "node:path";

/** Its default is 100. */
const PULLED_AT_ONCE = 1000;
/** The most rows that one of its INSERTs has parameters for, with room to spare. */
const APPENDED_AT_ONCE = 2000;

export async function openImport(folder) {
  const store = openStore(folder);
  return {
    async append(batch) {
      for (const [stream, events] of byStream(batch))
        for (let first = 0; first < events.length; first += APPENDED_AT_ONCE)
          await append(store, stream, events.slice(first, first + APPENDED_AT_ONCE));
    },
    async close() {},
  };
}

export function byStream(batch) {
  const streams = new Map();
  for (const { stream, event } of batch) {
    const events = streams.get(stream);
    if (events === undefined) streams.set(stream, [event]);
    else events.push(event);
  }
  return streams;
}

export async function openRebuild(folder, fold) {
  const store = openStore(folder);
  const last = await newestPosition(folder);
  const consumer = store.consumer({ pulling: { batchSize: PULLED_AT_ONCE } });
  consumer.processor({
    processorId: "messages",
    startFrom: "BEGINNING",
    stopAfter: ({ metadata }) => metadata.globalPosition >= last,
    eachMessage: (event) => fold.apply(event),
  });
  return {
    work: () => consumer.start(),
    async digest() {
      await consumer.close();
      return fold.digest();
    },
  };
}

async function newestPosition(folder) {
  const { sqliteConnection } = await import("@event-driven-io/emmett-sqlite");
  const connection = sqliteConnection({ fileName: join(folder, "store.db") });
  const { position } = await connection.querySingle(
    "SELECT max(global_position) AS position FROM emt_messages",
  );
  connection.close();
  return BigInt(position);
}
