// Appends to the log that argv[2] describes and says what was acknowledged, one JSON line for each append:
// [stream, revision, position, [id, …]]. Ends by itself after `appends` of them, or never.
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { openSqliteEventLog } from "../../../../build/log/sqlite/sqlite-event-log.js";

const {
  path,
  streams,
  appends = Infinity,
  atOnce = 4,
  textBytes = 20,
  internals = {},
} = JSON.parse(process.argv[2]);
const prefix = randomBytes(12).toString("hex");
const idPrefix = `${prefix.slice(0, 8)}-${prefix.slice(8, 12)}-8${prefix.slice(13, 16)}-8${prefix.slice(17, 20)}-`;
let counter = 0;

function newEvents(count) {
  return Array.from({ length: count }, () => {
    counter += 1;
    const id = idPrefix + counter.toString(16).padStart(12, "0");
    return { id, type: "Happened", data: { text: "x".repeat(textBytes), n: counter }, metadata: { v: 1 } };
  });
}

/** At once, so that what was acknowledged is known even if the next moment is the last. */
function report(acknowledged) {
  let rest = Buffer.from(`${JSON.stringify(acknowledged)}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // The pipe is full, and does not wait by itself.
      if (error.code !== "EAGAIN") throw error;
    }
  }
}

const log = await openSqliteEventLog(path, { internals });
const heads = new Map();
let begun = 0;

async function work(worker) {
  for (; begun < appends;) {
    begun += 1;
    const stream = streams[(begun + worker) % streams.length];
    const events = newEvents(1 + (begun % 3));
    const seal = begun % 50 === 0;
    for (;;) {
      const expected = heads.get(stream) ?? "no-stream";
      const result = await log.append(stream, events, expected, { seal });
      heads.set(stream, result.ok ? result.revision : result.actualRevision);
      if (!result.ok) continue;
      report([stream, result.revision, result.position, events.map(({ id }) => id)]);
      break;
    }
  }
}

await Promise.all(Array.from({ length: atOnce }, (_, worker) => work(worker)));
await log.close();
