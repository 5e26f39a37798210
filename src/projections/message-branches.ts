import { InvalidInputError } from "../errors.ts";

/**
 * Branches are the alternative contents of a message: `""` or a JSON array of parts arrays, as in the original
 * store. The variants of a message are the branches and, behind them, the content.
 */

/** The content of an assistant message to which nothing has been written. */
export const EMPTY_CONTENT = "[]";

/** @throws {InvalidInputError} `invalid-branches` where the string is neither empty nor a JSON array. */
export function parseBranches(branchesJson: string): unknown[] {
  if (branchesJson === "") return [];
  if (typeof branchesJson !== "string") throw invalidBranches(branchesJson);
  let value: unknown;
  try {
    value = JSON.parse(branchesJson);
  } catch (cause) {
    throw invalidBranches(branchesJson, cause);
  }
  if (!Array.isArray(value)) throw invalidBranches(branchesJson);
  return value;
}

function invalidBranches(branchesJson: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(
    "invalid-branches",
    `branchesJson must be "" or a JSON array of alternative parts arrays, not ${JSON.stringify(String(branchesJson).slice(0, 80))}.`,
    { cause },
  );
}

/** Moves a content behind the branches, as regenerate does. An empty content leaves no branch. */
export function pushBranch(branchesJson: string, content: string): string {
  if (content === "" || content === EMPTY_CONTENT) return branchesJson;
  const element = isJson(content) ? content : JSON.stringify(content);
  if (parseBranches(branchesJson).length === 0) return `[${element}]`;
  return `${branchesJson.slice(0, branchesJson.lastIndexOf("]"))},${element}]`;
}

/** The content of the variant that `activeBranch` names. */
export function variantContent(content: string, branchesJson: string, activeBranch: number): string {
  if (branchesJson === "") return content;
  const branches = parseBranches(branchesJson);
  if (activeBranch >= branches.length) return content;
  const branch = branches[activeBranch];
  return typeof branch === "string" ? branch : JSON.stringify(branch);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
