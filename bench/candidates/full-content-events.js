/**
 * Naive event sourcing: each step is an event that holds the whole content, in a table keyed by stream and revision,
 * and a commit of its own. Same engine as turnlog's.
 */
import { comparableParts } from "../harness/model-turn.js";
import { GrowingContent } from "../harness/model-output.js";
import { openDatabase, openForReading } from "./sqlite-file.js";

export const lostAtKill = "nothing";

const SCHEMA = `
  CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    revision INTEGER NOT NULL,
    type TEXT NOT NULL,
    message INTEGER NOT NULL,
    content TEXT NOT NULL,
    time INTEGER NOT NULL,
    UNIQUE (stream, revision)
  );
`;

export async function open(folder, { durability }) {
  const database = openDatabase(folder, durability);
  database.exec(SCHEMA);
  const insert = database.prepare(
    "INSERT INTO events (stream, revision, type, message, content, time) VALUES (?, ?, ?, ?, ?, ?)",
  );
  const revisions = new Map();
  const append = (stream, type, message, content) => {
    const revision = (revisions.get(stream) ?? -1) + 1;
    insert.run(stream, revision, type, message, content, Date.now());
    revisions.set(stream, revision);
  };
  let messages = 0;
  return {
    async beginTurn(session, user) {
      append(session, "MessageSaved", ++messages, user);
      const id = ++messages;
      const content = new GrowingContent();
      const change = (whole) => append(session, "ContentChanged", id, whole);
      return {
        delta: (text) => change(content.text(text)),
        toolCall: (call) => change(content.toolCall(call)),
        toolResult: (_toolId, output) => change(content.toolResult(output)),
        finish: () => append(session, "TurnFinished", id, ""),
      };
    },
    async close() {
      database.close();
    },
  };
}

export async function answersIn(folder) {
  const database = openForReading(folder);
  const select = database.prepare(
    "SELECT content, max(revision) FROM events WHERE stream = ? AND type = 'ContentChanged' GROUP BY message ORDER BY message",
  );
  return {
    answers: async (session) =>
      select.all(session).map(({ content }) => comparableParts(JSON.parse(content))),
    close: async () => database.close(),
  };
}
