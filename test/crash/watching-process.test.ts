import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";

const CHILD = fileURLToPath(new URL("watching-child.js", import.meta.url));

describe("a process that only watches", () => {
  it("lives until it breaks off, and then ends by itself", async () => {
    const folder = mkdtempSync(join(tmpdir(), "turnlog-watch-"));
    const path = join(folder, "conversations.db");
    const store = await openConversationStore(path);
    await store.saveMessage("s", "user", "begin");
    const child = spawn(process.execPath, [CHILD, path], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const exited = once(child, "exit");
      const seen: string[] = [];
      for await (const line of createInterface({ input: child.stdout })) {
        seen.push(line);
        if (line === "snapshot") await store.saveMessage("s", "user", "end");
      }
      expect(seen).toEqual(["snapshot", "message", "closed"]);
      expect(await exited).toEqual([0, null]);
    } finally {
      child.kill("SIGKILL");
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
