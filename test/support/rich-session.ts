import type { ConversationStore } from "../../src/store/conversation-store.ts";

/**
 * A session that has had everything: an earlier life, a turn with a tool, branches, a replacement, a superseded turn,
 * and at its end a turn that is open.
 */
export async function fillRichly(store: ConversationStore, sessionId: string): Promise<void> {
  await store.saveMessage(sessionId, "user", "of an earlier life");
  await store.deleteSession(sessionId);
  const first = await store.saveMessage(sessionId, "system", "Be kind.");
  const turn = await store.beginTurn(sessionId, {
    user: { content: "Where is my order?", externalId: "mail-1", metadata: { from: "ann" } },
    model: "m-1",
  });
  for (const word of ["Let ", "me ", "look: ", "“é” ", "\ud83d", "\ude00 "]) void turn.textDelta(word);
  await turn.flush();
  void turn.reasoningDelta("The order…");
  void turn.toolCall({ toolId: "t1", name: "find_order", input: '{"id":7}' });
  void turn.toolStarted("t1");
  void turn.toolResult("t1", { found: true });
  void turn.textDelta("It is ");
  void turn.textDelta("on its way.");
  await turn.finish({ finishReason: "stop", usage: { inputTokens: 12 } });
  const again = await store.regenerate(sessionId, { model: "m-2" });
  void again.textDelta("A second ");
  void again.textDelta("answer.");
  await again.finish();
  await store.selectBranch(again.messageId, 0);
  await store.updateSession(sessionId, { title: "An order", metadata: { team: 3 } });
  await store.replaceMessages(sessionId, [
    { keep: first },
    { role: "system", content: "Summary of what was said." },
    { keep: again.messageId },
  ]);
  const lost = await store.beginTurn(sessionId, { user: "And now?" });
  void lost.textDelta("I was ");
  await lost.flush();
  const id = await store.appendAssistantStub(sessionId);
  await store.updateBranches(id, '[{"kind":"text","text":"by hand"}]');
  const open = await store.beginTurn(sessionId);
  for (const word of ["never ", "to be ", "ended"]) void open.textDelta(word);
  await open.flush();
}
