import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { exportSource, readExportedSoFar } from "../../src/forensics/transfer.ts";
import { errorCode } from "../../src/errors.ts";
import { MemoryEventLog } from "../../src/log/memory-event-log.ts";
import { propertyRuns } from "../support/arbitraries.ts";
import { fillRichly } from "../support/rich-session.ts";
import { StoreUrls, exportOf, importOf, inPieces, told, withStoreAt, written } from "./transfer-support.ts";

/** What import makes of files that are no sound exports: the line is named, and what came before it is there. */

async function withExport(
  use: (text: string, urls: StoreUrls, source: string) => Promise<void>,
): Promise<void> {
  const urls = new StoreUrls("");
  const source = urls.next("memory");
  await withStoreAt(source, async (store) => {
    await store.saveMessage("a", "user", "one \ud83d two");
    await fillRichly(store, "rich");
  });
  try {
    await use(await exportOf(source), urls, source);
  } finally {
    await urls.close();
  }
}

const HEADER = '{"format":"turnlog-export","version":1,"logId":"l","head":9,"sessions":null,"since":null}';
const END = '{"end":true,"events":1}';
const event = (more: object = {}): string =>
  JSON.stringify({
    stream: "conversation-s",
    revision: 0,
    position: 3,
    recordedAt: 1,
    id: "00000000-0000-8000-8000-000000000001",
    type: "SessionUpdated",
    data: { title: "T" },
    metadata: { v: 1, writer: "w", n: 0, time: 1 },
    ...more,
  });
const deep = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

const HOSTILE: readonly [what: string, text: string | Uint8Array, line: number, why: RegExp][] = [
  ["nothing", "", 1, /it is empty/],
  ["an empty first line", `\n${HEADER}\n`, 1, /it is empty/],
  ["something else", '{"hello":1}\n', 1, /not the header of an export/],
  ["no JSON", "hello\n", 1, /it is no JSON/],
  ["a header that says little", '{"format":"turnlog-export","version":1}\n', 1, /header is incomplete/],
  ["a version that is none", HEADER.replace(":1,", ':"1",'), 1, /not the header/],
  [
    "bytes that are not UTF-8",
    Buffer.from([...Buffer.from(`${HEADER}\n"`), 0xff, 0xfe, 0x0a]),
    2,
    /not UTF-8/,
  ],
  ["NUL bytes", `${HEADER}\n${event()}\n\0\0\0\0\n`, 3, /no JSON/],
  ["a line that was cut", `${HEADER}\n${event().slice(0, 80)}\n`, 2, /no JSON/],
  ["an array", `${HEADER}\n[]\n`, 2, /no JSON object/],
  ["no end", `${HEADER}\n${event()}\n`, 3, /cut short/],
  [
    "an end that counts otherwise",
    `${HEADER}\n${event()}\n${END.replace("1}", "2}")}\n`,
    3,
    /counts 2 events/,
  ],
  ["an end that counts nothing", `${HEADER}\n{"end":true}\n`, 2, /does not say how many/],
  ["lines behind the end", `${HEADER}\n${event()}\n${END}\n${HEADER}\n`, 4, /behind the end/],
  ["a second header", `${HEADER}\n${HEADER}\n`, 2, /no event/],
  ["a revision that is text", `${HEADER}\n${event({ revision: "0" })}\n`, 2, /no event/],
  ["a revision below zero", `${HEADER}\n${event({ revision: -1 })}\n`, 2, /no event/],
  ["a position beyond all numbers", `${HEADER}\n${event({ position: 2 ** 60 })}\n`, 2, /no event/],
  ["an id that is none", `${HEADER}\n${event({ id: "1" })}\n`, 2, /no event/],
  ["metadata that are a list", `${HEADER}\n${event({ metadata: [] })}\n`, 2, /no event/],
  ["no data", `${HEADER}\n${event({ data: undefined })}\n`, 2, /no event/],
  ["an empty type", `${HEADER}\n${event({ type: "" })}\n`, 2, /no event/],
  ["a stream's name that is none", `${HEADER}\n${event({ stream: "a\u0007" })}\n`, 2, /name is none/],
  ["a session's name that is none", `${HEADER}\n${event({ stream: "conversation-" })}\n`, 2, /session id/],
  [
    "a session's name that is too long",
    `${HEADER}\n${event({ stream: `conversation-${"x".repeat(513)}` })}\n`,
    2,
    /session id/,
  ],
  [
    "a stream that begins in its middle",
    `${HEADER}\n${event({ revision: 4 })}\n`,
    2,
    /revision 4 instead of 0/,
  ],
  [
    "a gap in a stream",
    `${HEADER}\n${event()}\n${event({ revision: 2, id: "00000000-0000-8000-8000-000000000002" })}\n`,
    3,
    /revision 2 instead of 1/,
  ],
  ["the same id twice", `${HEADER}\n${event()}\n${event({ revision: 1 })}\n`, 3, /same id/],
  [
    "the same id in another stream",
    `${HEADER}\n${event()}\n${event({ stream: "conversation-t" })}\n`,
    3,
    /same id/,
  ],
  [
    "ids of messages behind others",
    `${HEADER}\n${event()}\n${event({ stream: "message-ids", id: "00000000-0000-8000-8000-000000000002" })}\n`,
    3,
    /comes before all others/,
  ],
  ["a checksum that is wrong", `${HEADER}\n${event({ crc: 1 })}\n`, 2, /checksum is wrong/],
  [
    "data that nest without end",
    `${HEADER}\n${event({ data: "@" }).replace('"@"', deep(100_000))}\n`,
    2,
    /nested too deep/,
  ],
];

describe("an export that is none", () => {
  it.each(HOSTILE)("%s", async (_, text, line, why) => {
    const urls = new StoreUrls("");
    try {
      const target = urls.next("memory");
      await expect(importOf(text, target)).rejects.toMatchObject({
        code: "damaged-export",
        message: expect.stringMatching(why),
        details: { line },
      });
      expect([...(await written(target)).values()].flat()).toHaveLength(
        Math.max(
          0,
          String(text)
            .split("\n")
            .slice(1, line - 1)
            .filter((each) => each.includes('"id"')).length,
        ),
      );
    } finally {
      await urls.close();
    }
  });

  it("of a version of the future is refused, and a field of the future is not", async () => {
    await expect(exportSource(inPieces(HEADER.replace('"version":1', '"version":2')))).rejects.toMatchObject({
      code: "newer-export",
    });
    const log = new MemoryEventLog({});
    const text = `${HEADER.replace("{", '{"compressed":false,')}\r\n\n${event({ hint: 1 })}\r\n${END}`;
    const source = await exportSource(inPieces(`\ufeff${text}`, 1));
    const events = [];
    for await (const each of source.events()) events.push(each);
    expect(events).toMatchObject([{ type: "SessionUpdated", data: { title: "T" } }]);
    await log.close();
  });

  it("may hold a line of many megabytes", async () => {
    const urls = new StoreUrls("");
    const [source, target] = [urls.next("memory"), urls.next("memory")];
    await withStoreAt(source, (store) => store.saveMessage("s", "user", "\0".repeat(2_500_000)));
    const text = await exportOf(source);
    expect(Math.max(...text.split("\n").map((line) => line.length))).toBeGreaterThan(15_000_000);
    await importOf(text, target);
    expect(await told(target)).toEqual(await told(source));
    await urls.close();
  });
});

describe("an import that met a damaged line", () => {
  it("keeps what came before it, and goes on once the file has been mended", () =>
    withExport(async (text, urls, source) => {
      const lines = text.trimEnd().split("\n");
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: lines.length - 2 }), async (index) => {
          const target = urls.next("memory");
          const damaged = lines.with(
            index,
            (lines[index] ?? "").replace(/"revision":\d+/, '"revision":null'),
          );
          await expect(importOf(damaged.join("\n"), target)).rejects.toMatchObject({
            code: "damaged-export",
            details: { line: index + 1 },
          });
          expect([...(await written(target)).values()].flat()).toHaveLength(index - 1);
          expect(await importOf(text, target)).toMatchObject({ alreadyThere: index - 1 });
          expect(await written(target)).toEqual(await written(source));
        }),
        propertyRuns(15),
      );
    }));

  it("never takes a file in which a byte has been changed for a sound one", () =>
    withExport(async (text, urls) => {
      const bytes = Buffer.from(text);
      await fc.assert(
        fc.asyncProperty(
          fc.nat(bytes.length - 1),
          fc.integer({ min: 1, max: 255 }),
          fc.boolean(),
          async (at, change, isCut) => {
            const damaged = isCut ? bytes.subarray(0, at) : Buffer.from(bytes);
            if (!isCut) damaged[at] = (damaged[at] ?? 0) ^ change;
            const target = urls.next("memory");
            const result = await importOf(damaged, target).then(() => "sound", errorCode);
            // A line end that was lost at the very end, space or a field that nobody reads: all events are as they were.
            if (result === "sound") expect(await written(target)).toEqual(await copied(text, urls));
            else expect(["damaged-export", "newer-export"]).toContain(result);
          },
        ),
        propertyRuns(120),
      );
    }));
});

async function copied(text: string, urls: StoreUrls): Promise<unknown> {
  const target = urls.next("memory");
  await importOf(text, target);
  return written(target);
}

describe("an export that was cut short", () => {
  it("at any byte goes on to the same bytes", () =>
    withExport(async (text, _, source) => {
      const bytes = Buffer.from(text);
      const firstLine = text.indexOf("\n") + 1;
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: firstLine, max: bytes.length }), async (at) => {
          const soFar = await readExportedSoFar(inPieces(bytes.subarray(0, at), 777));
          expect(soFar).toMatchObject({ isWhole: at === bytes.length });
          const rest = await exportOf(source, {}, soFar);
          expect(bytes.subarray(0, soFar?.bytes).toString() + rest).toBe(text);
        }),
        propertyRuns(30),
      );
    }));

  it("is refused where the log, the selection or what was exported is another", () =>
    withExport(async (text, urls, source) => {
      const soFar = await readExportedSoFar(inPieces(text.slice(0, text.length / 2)));
      const differs = { code: "export-differs" };
      await expect(exportOf(source, { sessions: ["a"] }, soFar)).rejects.toMatchObject(differs);
      const other = urls.next("memory");
      await withStoreAt(other, (store) => store.saveMessage("a", "user", "other"));
      await expect(exportOf(other, {}, soFar)).rejects.toMatchObject(differs);
      const whole = await readExportedSoFar(inPieces(text));
      await withStoreAt(source, (store) => store.saveMessage("a", "user", "more"));
      // Half of one goes on up to where it began; a whole one must not pass for what the log is now.
      expect((await exportOf(source, {}, soFar)).length).toBeGreaterThan(0);
      await expect(exportOf(source, {}, whole)).rejects.toMatchObject(differs);
      await withStoreAt(source, (store) => store.purgeSession("rich"));
      await expect(exportOf(source, {}, soFar)).rejects.toMatchObject(differs);
    }));

  it("is none where its first line is not whole", async () => {
    expect(await readExportedSoFar(inPieces(HEADER))).toBeUndefined();
    expect(await readExportedSoFar(inPieces("hello\n"))).toBeUndefined();
    expect(await readExportedSoFar(inPieces(`\n${HEADER}\n`))).toBeUndefined();
  });
});
