import { cp, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "@jest/globals";
import type { ToolPart } from "../../src/events/stored-part.ts";
import type { StoredMessage } from "../../src/projections/stored-message.ts";
import type { ConversationStore } from "../../src/store/conversation-store.ts";
import { openConversationStore } from "../../src/store/open-conversation-store.ts";
import { FixtureNode } from "../support/eventstoredb-fixture/fixture-node.ts";
import { NO_REAL_SERVER, ownLog, realServer } from "../support/real-server.ts";
import { Child, root, withFolder } from "./child-process.ts";

const example = join(root, "examples/agent-runtime");
const QUESTION = "Publish version 1.2, please.";

/** So long that a test is over before it is: between words, and in the command that is killed. */
const SLOW_WORDS = ["--pace", "300"];
const ENDLESS_COMMAND = { MIRROR_SECONDS: "600" };
const QUICK = ["--pace", "0"];

class Project {
  readonly #folder: string;
  readonly store: string;

  constructor(folder: string, store: string) {
    this.#folder = folder;
    this.store = store;
  }

  start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Child {
    return new Child(process.execPath, [join(example, "main.js"), "--store", this.store, ...args], {
      cwd: this.#folder,
      env: { MIRROR_SECONDS: "0", ...env },
    });
  }

  /** Runs the agent to its end and returns what it printed. */
  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.start([...QUICK, ...args]).ended();
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout;
  }

  /** Starts the agent and kills it, and what it runs, as soon as it has printed the marker. */
  async killAt(marker: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
    const child = this.start(args, env);
    await child.waitForText(marker);
    await child.kill();
  }

  read<T>(query: (store: ConversationStore) => Promise<T>): Promise<T> {
    return openConversationStore(this.store, { readOnly: true }).then((store) =>
      query(store).finally(() => store.close()),
    );
  }

  messages(): Promise<StoredMessage[]> {
    return this.read((store) => store.listMessages("agent"));
  }

  /** How often the command took effect. */
  async published(): Promise<string[]> {
    const list = await readFile(join(this.#folder, "published.txt"), "utf8").catch(() => "");
    return list.split("\n").slice(0, -1);
  }

  /** Every turn has ended, the last one well, and another start finds nothing to do. */
  async expectFinished(): Promise<void> {
    expect(await this.read((store) => store.unendedTurns())).toEqual([]);
    const before = await this.messages();
    expect(before.at(-1)?.status).toBe("finished");
    expect(await this.run()).toBe("");
    expect(await this.messages()).toEqual(before);
  }
}

/** @param store its path or URL. Default: a file in the project's folder. */
function withProject(use: (project: Project) => Promise<void>, store?: string): Promise<void> {
  return withFolder(async (folder) => {
    await cp(join(example, "project"), folder, { recursive: true });
    await use(new Project(folder, store ?? join(folder, "agent.db")));
  });
}

const texts = ({ parts }: StoredMessage): string[] =>
  parts.flatMap((part) => (part.kind === "text" ? [String(part["text" as never])] : []));
const tools = ({ parts }: StoredMessage): ToolPart[] =>
  parts.filter((part): part is ToolPart => part.kind === "tool");

describe("the example agent runtime", () => {
  it("calls the model step by step, asks before it runs a command, and answers", async () => {
    await withProject(async (project) => {
      const printed = await project.run("--approve", "yes", QUESTION);
      expect(printed).toMatch(/run run_command .*\? \[y\/N\] yes\n {2}\| published 1\.2/);
      const [user, answer] = await project.messages();
      expect(user).toMatchObject({ role: "user", content: QUESTION });
      expect(answer?.parts).toMatchObject([
        { kind: "text", text: "I read the release notes first." },
        { kind: "tool", name: "read_file", output: "1.2: answers survive a crash.\n" },
        { kind: "step", finishReason: "tool-calls" },
        { kind: "text", text: "The notes are there. I publish." },
        { kind: "tool", name: "run_command", approval: { approved: true }, output: { exitCode: 0 } },
        { kind: "step" },
        { kind: "text", text: "Version 1.2 is out (exit code 0). Done." },
        { kind: "step", finishReason: "stop" },
      ]);
      expect(answer).toMatchObject({ status: "finished", usage: { outputTokens: expect.any(Number) } });
      expect(await project.published()).toEqual(["1.2"]);
    });
  });

  it("does not run a command without a clear yes", async () => {
    await withProject(async (project) => {
      const child = project.start([...QUICK, QUESTION]);
      await child.waitForText("[y/N]");
      child.write("rather not\n");
      expect((await child.ended()).stdout).toMatch(/agent: Then I leave it\.\n$/);
      expect(await project.published()).toEqual([]);
      const [, answer] = await project.messages();
      expect(answer).toMatchObject({ status: "finished" });
      expect(tools(answer!)[1]).toMatchObject({ name: "run_command", state: "output-denied" });
    });
  });

  it("regenerates, and keeps the old answer as a branch", async () => {
    await withProject(async (project) => {
      await project.run("What is a release?");
      await project.run("--regenerate");
      const [, answer, ...others] = await project.messages();
      expect(others).toEqual([]);
      expect(answer).toMatchObject({ status: "finished", activeBranch: 1 });
      expect(JSON.parse(answer!.branchesJson)).toMatchObject([[{ text: texts(answer!)[0] }, {}]]);
    });
  });

  it("compacts a conversation that has grown too long", async () => {
    await withProject(async (project) => {
      const printed = await project.run(
        "--max-messages",
        "4",
        "What is a release?",
        "Once more.",
        "And again.",
      );
      expect(printed).toMatch(/\[compacted: 4 messages by summarize, 2 kept\]\n$/);
      expect(await project.messages()).toMatchObject([
        { role: "system", content: "[Conversation summary]: 4 messages about a release." },
        { role: "user", content: "And again." },
        { role: "assistant", status: "finished" },
      ]);
    });
  });
});

async function goesOnAfterCrashInText(project: Project): Promise<void> {
  await project.killAt("agent: A release is a", [...SLOW_WORDS, "What is a release?"]);
  const [, half] = await project.messages();
  expect(half?.status).toBe("open");
  const printed = await project.run();
  expect(printed).toMatch(/^\[interrupted: a turn \(new\) after "A release/);
  const [user, answer, ...others] = await project.messages();
  expect(others).toEqual([]);
  expect(user).toMatchObject({ content: "What is a release?" });
  expect(answer).toMatchObject({ id: half?.id, status: "finished" });
  const [whole = ""] = texts(answer!);
  expect(whole).toMatch(/^A release is a promise: .* and when\.$/);
  const [kept = ""] = texts(half!);
  expect(kept).not.toBe("");
  expect(whole.startsWith(kept)).toBe(true);
  expect(JSON.parse(answer!.branchesJson)).toEqual([half?.parts]);
  await project.expectFinished();
}

async function goesOnAfterCrashInTool(project: Project): Promise<void> {
  await project.killAt("telling the mirrors", [...QUICK, "--approve", "yes", QUESTION], ENDLESS_COMMAND);
  const printed = await project.run("--approve", "yes");
  expect(printed).toContain('[in flight: run_command {"command":"sh publish.sh 1.2"}: outcome-unknown]\n');
  expect(await project.published()).toEqual(["1.2"]);
  const [, interrupted, answer, ...others] = await project.messages();
  expect(others).toEqual([]);
  expect(interrupted?.status).toBe("interrupted");
  expect(tools(interrupted!)[1]).toMatchObject({ name: "run_command", started_at: expect.any(Number) });
  expect(tools(answer!)).toMatchObject([{ name: "read_file", output: "1.2\n" }]);
  expect(texts(answer!).at(-1)).toMatch(/published before the crash, and I do not do it twice\. Done\.$/);
  await project.expectFinished();
}

describe("the example agent runtime, killed with SIGKILL and started again", () => {
  it("(a) in text: keeps the half answer as a branch and answers", () => withProject(goesOnAfterCrashInText));

  it("(b) before a tool starts: asks again and runs it exactly once", async () => {
    await withProject(async (project) => {
      await project.killAt("[y/N]", [...QUICK, QUESTION]);
      expect(await project.published()).toEqual([]);
      const printed = await project.run("--approve", "yes");
      expect(printed).toContain('[in flight: run_command {"command":"sh publish.sh 1.2"}: not-started]\n');
      expect(printed).toMatch(/agent: Version 1\.2 is out \(exit code 0\)\. Done\.\n$/);
      expect(await project.published()).toEqual(["1.2"]);
      const [, interrupted, answer, ...others] = await project.messages();
      expect(others).toEqual([]);
      expect(interrupted?.status).toBe("interrupted");
      expect(tools(answer!)).toMatchObject([{ name: "run_command", state: "output-available" }]);
      // The model saw one call with one result, although it was made in one turn and run in the next.
      const prompt = await project.read((store) => store.getMessages("agent"));
      const results = prompt.flatMap(({ role, content }) => (role === "tool" ? content : []));
      expect(results.filter((part) => part.type === "tool-result")).toMatchObject([
        { toolName: "read_file", output: { type: "text" } },
        { toolName: "run_command", output: { type: "json", value: { exitCode: 0 } } },
      ]);
      await project.expectFinished();
    });
  });

  it("(b) and takes a no for a no", async () => {
    await withProject(async (project) => {
      await project.killAt("[y/N]", [...QUICK, QUESTION]);
      expect(await project.run("--approve", "no")).toMatch(/agent: Then I leave it\.\n$/);
      expect(await project.published()).toEqual([]);
      await project.expectFinished();
    });
  });

  it("(c) while a tool runs: does not run it again, looks, and finishes", () =>
    withProject(goesOnAfterCrashInTool));

  it("(d) in regenerate: keeps the old answer and the half one as branches", async () => {
    await withProject(async (project) => {
      await project.run("What is a release?");
      const [, first] = await project.messages();
      await project.killAt("agent: A release is a", [...SLOW_WORDS, "--regenerate"]);
      const [, half] = await project.messages();
      expect(half).toMatchObject({ id: first?.id, status: "open" });
      expect(await project.run()).toMatch(/^\[interrupted: a turn \(regenerate\) after "A release/);
      const [, answer, ...others] = await project.messages();
      expect(others).toEqual([]);
      expect(answer).toMatchObject({ id: first?.id, status: "finished", activeBranch: 2 });
      expect(JSON.parse(answer!.branchesJson)).toEqual([first?.parts, half?.parts]);
      expect(texts(answer!)).toEqual(texts(first!));
      await project.expectFinished();
    });
  });

  it("goes on where a crash came between the end of the old turn and the beginning of the new one", async () => {
    await withProject(async (project) => {
      await project.killAt("agent: A release is a", [...SLOW_WORDS, "What is a release?"]);
      const store = await openConversationStore(project.store);
      await store.recoverInterruptedTurns();
      await store.close();
      expect(await project.run()).toMatch(/^\[resuming: /);
      await project.expectFinished();
    });
  });
});

describe("the example agent runtime on a server, killed with SIGKILL and started again", () => {
  const crashes: [where: string, check: (project: Project) => Promise<void>][] = [
    ["in text", goesOnAfterCrashInText],
    ["while a tool runs", goesOnAfterCrashInTool],
  ];
  it.each(crashes)("%s, on an EventStoreDB server that the fixture imitates", async (_where, check) => {
    const node = await FixtureNode.start();
    await withProject(check, node.url).finally(() => node.close());
  });

  const server = realServer();
  if (server === undefined) it.skip(`on a real EventStoreDB server (${NO_REAL_SERVER})`, () => {});
  else
    it.each(crashes)("%s, on a real EventStoreDB server", (_where, check) =>
      withProject(check, ownLog(server)),
    );
});

describe("the example's page", () => {
  it("shows what the agent prints", async () => {
    const page = await readFile(join(example, "README.md"), "utf8");
    const [, transcript = ""] = /```console\n(.*?)```/s.exec(page) ?? [];
    const [, beforeCrash, afterCrash] = transcript.split(/^\$ .*\n/m);
    await withProject(async (project) => {
      const child = project.start([...QUICK, "--approve", "yes", QUESTION], ENDLESS_COMMAND);
      await child.waitForText("telling the mirrors ...\n");
      await child.kill();
      expect(`${child.stdout}Killed\n`).toBe(beforeCrash);
      expect(await project.run("--approve", "yes")).toBe(afterCrash);
    });
  });
});
