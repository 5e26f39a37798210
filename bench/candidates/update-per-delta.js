/**
 * The baseline: the original store's design. A plain table with a row per message; each delta is one UPDATE of the
 * whole content and a commit of its own. Same engine, WAL, synchronous=NORMAL.
 */
import { DatabaseSync } from "@photostructure/sqlite";
import { GrowingContent } from "../harness/model-output.js";

const SCHEMA = `
  CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    branches_json TEXT NOT NULL DEFAULT '',
    active_branch INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
  );
  CREATE INDEX messages_by_session ON messages (session_id, id);
`;

export async function open(path) {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  database.exec(SCHEMA);
  const insert = database.prepare(
    "INSERT INTO messages (session_id, role, content, created_at) VALUES (?, ?, ?, unixepoch()) RETURNING id",
  );
  const update = database.prepare(
    "UPDATE messages SET content = ?, branches_json = ?, active_branch = ? WHERE id = ?",
  );
  return {
    async beginTurn(session, user) {
      insert.get(session, "user", user);
      const { id } = insert.get(session, "assistant", "[]");
      const content = new GrowingContent();
      return {
        delta(text) {
          update.run(content.append(text), "", 0, id);
        },
        async finish() {},
      };
    },
    async close() {
      database.close();
    },
  };
}

/** The contents of the session's answers, in order, read back from the closed file. */
export async function answersIn(path) {
  const database = new DatabaseSync(path, { readOnly: true });
  const select = database.prepare(
    "SELECT content FROM messages WHERE session_id = ? AND role = 'assistant' ORDER BY id",
  );
  return {
    answers: async (session) => select.all(session).map(({ content }) => content),
    close: async () => database.close(),
  };
}
