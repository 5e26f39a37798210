import type { TurnVerb } from "./turn-verb.ts";

type FileVerb = Extract<TurnVerb, { verb: "file" }>;

const DATA_URL = /^data:([^;,]*)(?:;[^;,]*)*;base64,/;

/** A file of an image's address; where it is a data URL, of the data in it. Undefined where it is no address. */
export function fileVerb(url: unknown): FileVerb | undefined {
  if (typeof url !== "string" || url === "") return undefined;
  const match = DATA_URL.exec(url.slice(0, 256));
  if (match === null) return { verb: "file", mediaType: "image/*", url };
  const mediaType = match[1] === undefined || match[1] === "" ? "application/octet-stream" : match[1];
  return { verb: "file", mediaType, data: url.slice(match[0].length) };
}
