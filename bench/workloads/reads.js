/**
 * What a user interface asks: the newest 50 messages of a long session, its last assistant message, and the list of
 * sessions; beside the original store's SQL on a plain table that holds the same messages. Both answer in turn, in one
 * process.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DatabaseSync } from "@photostructure/sqlite";
import { openConversationStore } from "../../dist/index.js";
import { report } from "./reads-report.js";

const MAKE_DATA = fileURLToPath(new URL("reads-data.js", import.meta.url));

const LONG = "long";
const PAGE = 50;
/** A list that scans a table takes long: so many of each, or as many as this much time allows. */
const READS = 300;
const MOST_MS = 4000;

/** The original's queries; it lists the oldest 50, which is of no use, so this lists the newest. */
function openTable(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  const page = database.prepare("SELECT * FROM messages WHERE session_id = ? ORDER BY id DESC LIMIT ?");
  const last = database.prepare(
    "SELECT * FROM messages WHERE session_id = ? AND role = 'assistant' ORDER BY id DESC LIMIT 1",
  );
  const list = database.prepare(
    "SELECT session_id, count(*) AS messages, max(created_at) AS active FROM messages GROUP BY session_id ORDER BY active DESC, max(id) DESC LIMIT ?",
  );
  return {
    page: () => page.all(LONG, PAGE).toReversed().map(toMessage),
    last: () => toMessage(last.get(LONG)),
    list: () =>
      list.all(PAGE).map(({ session_id, messages, active }) => ({
        id: session_id,
        messageCount: messages,
        lastActive: new Date(active * 1000),
      })),
    close: () => database.close(),
  };
}

/** As the store's own message, with the parts that a user interface shows. */
function toMessage({ id, role, content, branches_json, active_branch, created_at }) {
  return {
    id,
    role,
    content,
    parts: role === "assistant" ? JSON.parse(content) : [{ kind: "text", text: content }],
    branchesJson: branches_json,
    activeBranch: active_branch,
    createdAt: new Date(created_at * 1000),
  };
}

function readsOf(store) {
  return {
    page: () => store.listMessages(LONG, { limit: PAGE }),
    last: () => store.lastAssistantMessage(LONG),
    list: () => store.listSessions({ limit: PAGE }),
  };
}

const CHECKS = {
  page: (answer) => JSON.stringify(answer.map(({ role, content, parts }) => [role, content, parts])),
  last: ({ content, parts }) => JSON.stringify([content, parts]),
  list: (answer) => JSON.stringify(answer.map(({ id, messageCount }) => [id, messageCount])),
};

/** Median times of the same read by each reader, in turn, in ms. */
async function timeReads(what, readers) {
  const times = readers.map(() => []);
  const end = performance.now() + MOST_MS;
  for (let read = 0; read < READS && performance.now() < end; read++) {
    const answers = [];
    for (const [index, { before, reads }] of readers.entries()) {
      await before?.();
      const start = performance.now();
      const answer = await reads[what]();
      times[index].push(performance.now() - start);
      answers.push(CHECKS[what](answer));
    }
    if (answers.some((answer) => answer !== answers[0]))
      throw new Error(`wrong result: the readers differ in what they answer to ${what}`);
  }
  return times.map((each) => each.toSorted((a, b) => a - b)[each.length >> 1]);
}

async function run(parameters, folder) {
  const path = join(folder, "log.db");
  const tablePath = join(folder, "table.db");
  execFileSync(process.execPath, [MAKE_DATA, path, tablePath, JSON.stringify(parameters)], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const table = openTable(tablePath);
  // As a session is read that nobody has read before: one other in the cache each time, so that it begins at the views.
  const cold = await openConversationStore(path, { readOnly: true, cachedSessions: 1 });
  const warm = await openConversationStore(path, { readOnly: true });
  await warm.listMessages(LONG);
  const readers = [
    { reads: table },
    { reads: readsOf(cold), before: () => cold.countMessages("nobody") },
    { reads: readsOf(warm) },
  ];
  const figures = {};
  for (const what of Object.keys(CHECKS)) {
    const [tableMs, coldMs, warmMs] = await timeReads(what, readers);
    figures[what] = { tableMs, coldMs, warmMs };
  }
  table.close();
  await cold.close();
  await warm.close();
  return figures;
}

const cases = [
  { parameters: { sessionEvents: 100, sessions: 1 } },
  { parameters: { sessionEvents: 10_000, sessions: 1 } },
  { parameters: { sessionEvents: 1_000_000, sessions: 1 } },
  { parameters: { sessionEvents: 10_000, sessions: 1000 } },
  { parameters: { sessionEvents: 10_000, sessions: 100_000 } },
];
const quickCases = [{ parameters: { sessionEvents: 1000, sessions: 20 } }];

export default { name: "reads", rounds: 1, cases, quickCases, run, report };
