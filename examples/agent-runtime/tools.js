import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { tool } from "ai";
import { z } from "zod";

/**
 * The agent's tools, ordinary tools of the AI SDK: they know nothing of the log.
 * @param {string} folder the only one that they work in
 * @param {(text: string) => void} onOutput what a command prints, as it prints it
 */
export function createTools(folder, onOutput) {
  return {
    read_file: tool({
      description: "Reads a text file of the project.",
      inputSchema: z.object({ path: z.string() }),
      execute: ({ path }) => {
        const file = resolve(folder, path);
        if (!file.startsWith(resolve(folder) + sep)) throw new Error(`${path} is outside the project.`);
        return readFile(file, "utf8");
      },
    }),
    run_command: tool({
      description: "Runs a shell command in the project.",
      inputSchema: z.object({ command: z.string() }),
      needsApproval: true,
      execute: ({ command }) => runCommand(command, folder, onOutput),
    }),
  };
}

function runCommand(command, folder, onOutput) {
  return new Promise((done, failed) => {
    const child = spawn("sh", ["-c", command], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const take = (text) => {
      output += text;
      onOutput(text);
    };
    child.stdout.setEncoding("utf8").on("data", take);
    child.stderr.setEncoding("utf8").on("data", take);
    child.on("error", failed);
    child.on("close", (exitCode) => done({ exitCode, output }));
  });
}
