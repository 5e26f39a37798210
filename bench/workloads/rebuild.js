/**
 * Reading a log of a million events from its start, as agents make it: the views made anew, all events folded in
 * memory, peers that hold the same events doing the same, and the two limits: reading the file, and JSON.parse.
 */
import { execFileSync } from "node:child_process";
import { createReadStream, createWriteStream, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openConversationStore, openEventLog, rebuildViews } from "../../dist/index.js";
import { LogFold, contentDigest } from "../harness/log-fold.js";
import { measure } from "../harness/measure.js";
import { isInstalled } from "../harness/peers.js";
import { report } from "./rebuild-report.js";

const MAKE_LOG = fileURLToPath(new URL("rebuild-log.js", import.meta.url));
const LOG = "log.db";
const LINES = "events.jsonl";
const FACTS = "facts.json";
/** Events handed to a peer together. */
const IMPORT_BATCH = 20_000;
/** The peers take half a minute to be handed so many; a million would take them many. */
const MOST_PEER_EVENTS = 50_000;

/** In a process of its own: what making a log takes of memory is not what reading it takes. */
export function makeLog(path, parameters) {
  const made = execFileSync(process.execPath, [MAKE_LOG, path, JSON.stringify(parameters)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(made);
}

/** Makes the log, and the same events as JSON lines and in the peers' stores. */
async function prepare(cases, folder) {
  const path = join(folder, LOG);
  makeLog(path, { events: Math.max(...cases.map(({ events }) => events)) });
  const peers = await Promise.all(
    cases.filter(({ candidate }) => candidate in PEERS).map((parameters) => openPeer(parameters, folder)),
  );
  const log = await openEventLog(path, { readOnly: true });
  const lines = createWriteStream(join(folder, LINES));
  const counts = { events: 0, deltas: 0, jsonBytes: 0 };
  const fold = new LogFold();
  const facts = {};
  const partial = new Set(cases.filter(({ isPartial }) => isPartial).map(({ events }) => events));
  for await (const { stream, type, data, metadata } of log.readAll()) {
    const line = JSON.stringify({ stream, type, data, metadata });
    counts.events += 1;
    counts.deltas += deltasIn(data, metadata);
    counts.jsonBytes += Buffer.byteLength(line);
    fold.apply({ type, data });
    if (!lines.write(`${line}\n`)) await once(lines, "drain");
    for (const peer of peers) await peer.take({ stream, event: { type, data, metadata } });
    if (partial.has(counts.events)) facts[counts.events] = { ...counts, digest: fold.digest() };
  }
  for (const { events, isPartial } of cases)
    if (!isPartial) facts[events] ??= { ...counts, digest: fold.digest() };
  lines.end();
  await once(lines, "finish");
  for (const peer of peers) await peer.close();
  await log.close();
  writeFileSync(join(folder, FACTS), JSON.stringify(facts));
}

function deltasIn(data, { cause }) {
  return cause === "delta" ? (data.marks?.length ?? 1) : 0;
}

const PEERS = {
  emmett: "../candidates/emmett-rebuild.js",
  "node-event-storage": "../candidates/node-event-storage-rebuild.js",
};

/** `{take(event), close()}` of a peer's store in a folder of its own, which takes the first `events`. */
async function openPeer({ candidate, isPartial, events }, folder) {
  const own = join(folder, candidate);
  await mkdir(own, { recursive: true });
  const { openImport } = await import(PEERS[candidate]);
  const store = await openImport(own);
  let left = isPartial ? events : Infinity;
  let batch = [];
  const append = async () => {
    if (batch.length > 0) await store.append(batch);
    batch = [];
  };
  return {
    async take(event) {
      if (left-- > 0 && batch.push(event) === IMPORT_BATCH) await append();
    },
    async close() {
      await append();
      await store.close();
    },
  };
}

/** Each resolves with the digest of all contents, or with undefined where it makes none. */
const CANDIDATES = {
  async "turnlog rebuild"(shared, folder) {
    const path = join(folder, LOG);
    await copyFile(join(shared, LOG), path);
    return {
      work: () => rebuildViews(path),
      digest: () => digestOfViews(path),
    };
  },

  async "turnlog replay"(shared) {
    const log = await openEventLog(join(shared, LOG), { readOnly: true });
    const fold = new LogFold();
    return {
      async work() {
        for await (const event of log.readAll()) fold.apply(event);
      },
      async digest() {
        await log.close();
        return fold.digest();
      },
    };
  },

  emmett: peer("emmett"),
  "node-event-storage": peer("node-event-storage"),

  async "JSON lines, read, parsed and folded"(shared) {
    const fold = new LogFold();
    return {
      async work() {
        for await (const line of linesOf(join(shared, LINES))) fold.apply(JSON.parse(line));
      },
      digest: () => fold.digest(),
    };
  },

  async "limit, JSON.parse of the JSON lines"(shared) {
    const lines = readFileSync(join(shared, LINES), "utf8").split("\n").slice(0, -1);
    return parsing(lines);
  },

  /** What a rebuild hands to JSON.parse, and nothing else. */
  async "limit, JSON.parse of the stored rows"(shared, folder) {
    const path = join(folder, LOG);
    await copyFile(join(shared, LOG), path);
    return parsing(await textsParsedBy(() => rebuildViews(path)));
  },

  async "limit, reading the file"(shared) {
    return {
      async work() {
        for await (const chunk of createReadStream(join(shared, LOG), { highWaterMark: 1 << 20 })) void chunk;
      },
    };
  },
};

function peer(candidate) {
  return async (shared) => {
    const { openRebuild } = await import(PEERS[candidate]);
    return openRebuild(join(shared, candidate), new LogFold());
  };
}

function parsing(texts) {
  return {
    async work() {
      for (const text of texts) JSON.parse(text);
    },
  };
}

async function textsParsedBy(work) {
  const parse = JSON.parse;
  const texts = [];
  JSON.parse = (text, reviver) => {
    texts.push(text);
    return parse(text, reviver);
  };
  await work();
  JSON.parse = parse;
  return texts;
}

async function* linesOf(path) {
  let rest = "";
  for await (const chunk of createReadStream(path, { encoding: "utf8", highWaterMark: 1 << 20 })) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function digestOfViews(path) {
  const store = await openConversationStore(path, { readOnly: true });
  const messages = [];
  for (const { id } of await store.listSessions({ limit: Infinity }))
    messages.push(...(await store.listMessages(id, { limit: Infinity })));
  await store.close();
  return contentDigest(messages);
}

async function run({ candidate, events }, folder, shared) {
  const facts = JSON.parse(readFileSync(join(shared, FACTS), "utf8"))[events];
  const { work, digest } = await CANDIDATES[candidate](shared, folder);
  const figures = await measure(async (lap) => {
    await work();
    lap();
  });
  const found = await digest?.();
  if (digest !== undefined && found !== facts.digest)
    throw new Error(`wrong result: ${candidate} has other contents than were streamed`);
  return { ...figures, ...facts };
}

/** The log holds at least so many events: all of them are read, but for a candidate that takes the first so many. */
function cases(events) {
  return Object.keys(CANDIDATES).map((candidate) =>
    candidate in PEERS && events > MOST_PEER_EVENTS
      ? { parameters: { candidate, events: MOST_PEER_EVENTS, isPartial: true } }
      : { parameters: { candidate, events } },
  );
}

export default {
  name: "rebuild",
  rounds: 5,
  cases: cases(1_000_000),
  quickCases: cases(2000),
  isAvailable: ({ candidate }) => isInstalled(candidate),
  prepare,
  run,
  report,
};
