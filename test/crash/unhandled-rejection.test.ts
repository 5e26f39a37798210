import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "@jest/globals";

const CHILD = fileURLToPath(new URL("failing-child.js", import.meta.url));

describe("calls of a turn that nobody awaits", () => {
  it("never end the process by an unhandled rejection, whatever fails", async () => {
    const child = spawn(process.execPath, ["--unhandled-rejections=strict", CHILD]);
    const code = new Promise((resolve) => child.once("exit", resolve));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect({ stdout, stderr, code: await code }).toEqual({
      stdout: "disk-full, 1 faults",
      stderr: "",
      code: 0,
    });
  });
});
