/**
 * The baseline: the original store's design. A plain table with a row per message; each step is one UPDATE of the
 * whole content and a commit of its own. Same engine as turnlog's.
 */
import { comparableParts } from "../harness/model-turn.js";
import { GrowingContent } from "../harness/model-output.js";
import { openDatabase, openForReading } from "./sqlite-file.js";

export const lostAtKill = "nothing";

export const SCHEMA = `
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

export async function open(folder, { durability }) {
  const database = openDatabase(folder, durability);
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
      const set = (whole) => void update.run(whole, "", 0, id);
      return {
        delta: (text) => set(content.text(text)),
        toolCall: (call) => set(content.toolCall(call)),
        toolResult: (_toolId, output) => set(content.toolResult(output)),
        finish() {},
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
    "SELECT content FROM messages WHERE session_id = ? AND role = 'assistant' ORDER BY id",
  );
  return {
    answers: async (session) =>
      select.all(session).map(({ content }) => comparableParts(JSON.parse(content))),
    close: async () => database.close(),
  };
}
