import type { AutopsyReport } from "../forensics/autopsy.ts";

export interface SuggestedCommand {
  why: string;
  command: string;
}

/** What to type after an autopsy: that which helps the most urgent thing that was found. */
export function nextCommand(
  { turns, counts, damage }: AutopsyReport,
  store: string | undefined,
): SuggestedCommand | undefined {
  const turnlog = (...words: string[]): string =>
    ["turnlog", ...words, ...(store === undefined ? [] : ["--store", store])].map(shellWord).join(" ");
  if (damage.length > 0)
    return { why: "Next, see what is damaged and what can still be read:", command: turnlog("verify") };
  const [turn] = turns;
  if (turn === undefined) return undefined;
  const { sessionId, verdict, writer } = turn;
  if (verdict === "crashed") {
    const crashed = turns.filter((each) => each.verdict === "crashed");
    const sessions = new Set(crashed.map((each) => each.sessionId));
    // A writer elsewhere was watched for this verdict; who has not watched does not know.
    const force = crashed.some((each) => each.writer.process === null) ? ["--force"] : [];
    const isOne = sessions.size === 1 && turns.length >= counts.crashed;
    return {
      why: `Next, end ${counts.crashed === 1 ? "it" : "them"} as interrupted (nothing is lost, and it tells which calls are safe to repeat):`,
      command: isOne ? turnlog("repair", sessionId, ...force) : turnlog("repair", "--all", ...force),
    };
  }
  if (writer.process === "stopped" && writer.pid !== null)
    return { why: "Next, let its process go on:", command: `kill -CONT ${writer.pid}` };
  if (verdict === "unknown" && writer.process === null)
    return {
      why: "Next, watch for its heartbeats until it is known to be dead or alive:",
      command: turnlog("autopsy", sessionId, "--wait"),
    };
  return { why: "Next, watch whether it goes on:", command: turnlog("tail", sessionId) };
}

/** A word as a POSIX shell reads it back. */
export function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
