import { readFileSync } from "node:fs";
import { expect, it } from "@jest/globals";
import { transfer, exportSource } from "../../src/forensics/transfer.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { inPieces } from "../forensics/transfer-support.ts";

it("the example in docs/export-format.md is an export, checksums included, and makes the session that it shows", async () => {
  const page = readFileSync(new URL("../../docs/export-format.md", import.meta.url), "utf8");
  const example = /```jsonl\n(.*?)```/s.exec(page)?.[1] ?? "";
  expect(example.match(/"crc":/g)).toHaveLength(2);
  const store = await openConversationStore("memory:");
  expect(await transfer(await exportSource(inPieces(example)), store.log)).toMatchObject({
    sourceLogId: "ec71a43c-5167-4aca-b6fa-3f7c34ce11e4",
    sessions: 1,
    appended: 2,
  });
  expect(await store.listMessages("support-42")).toMatchObject([{ id: 1, content: "Where is my order?" }]);
  await store.close();
});
