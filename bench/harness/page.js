/** Results in a page of the documentation: between two marks for each workload, so that a part can be measured anew. */
import { readFileSync, writeFileSync } from "node:fs";

const mark = (name) => `<!-- results of ${name} -->`;
const END = "<!-- end of results -->";

/** @throws {Error} where the page has no place for this workload */
export function putIntoPage(file, name, text) {
  const page = readFileSync(file, "utf8");
  const start = page.indexOf(mark(name));
  const end = page.indexOf(END, start);
  if (start === -1 || end === -1) throw new Error(`${file} has no place for the results of ${name}.`);
  const before = page.slice(0, start + mark(name).length);
  writeFileSync(file, `${before}\n\n${text.trim()}\n\n${page.slice(end)}`);
}
