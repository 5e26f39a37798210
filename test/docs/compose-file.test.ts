import { readFileSync } from "node:fs";
import { describe, expect, it } from "@jest/globals";
import { format } from "prettier";

/** docker-compose.yml, as far as it can be judged without Docker. */

const file = readFileSync(new URL("../../docker-compose.yml", import.meta.url), "utf8");
const readPage = (page: string): string => readFileSync(new URL(`../../${page}`, import.meta.url), "utf8");

/** The lines of each service, by its name. */
function services(): Map<string, string> {
  const [, block = ""] = /^services:\n([^]*?)^volumes:/m.exec(file) ?? [];
  const found = [...block.matchAll(/^ {2}([\w-]+):\n((?:(?: {4}.*)?\n)*)/gm)];
  return new Map(found.map(([, name = "", lines = ""]) => [name, lines]));
}

describe("docker-compose.yml", () => {
  it("is YAML", async () => {
    expect(await format(file, { parser: "yaml" })).toContain("services:");
    await expect(format("a: [", { parser: "yaml" })).rejects.toThrow();
  });

  it("has one node by default, and the others behind profiles", () => {
    const profiles = [...services()].map(([name, lines]) => [
      name,
      /profiles: \["(.*)"\]|<<: \*cluster-node/.exec(lines)?.[1] ??
        (lines.includes("*cluster-node") ? "cluster" : ""),
    ]);
    expect(Object.fromEntries(profiles)).toEqual({
      eventstoredb: "",
      kurrentdb: "kurrentdb",
      node1: "cluster",
      node2: "cluster",
      node3: "cluster",
      certificates: "secure",
      secure: "secure",
    });
  });

  it("pins every image to a version", () => {
    const images = [...file.matchAll(/^ *image: (.*)$/gm)].map(([, image = ""]) => image);
    expect(images).toHaveLength(3);
    for (const image of images) expect(image).toMatch(/:\d+\.\d+\.\d+(-[\w.-]+)?$/);
    expect(images).toContainEqual(expect.stringContaining("eventstore:23.10."));
    expect(images).toContainEqual(expect.stringContaining("kurrentdb:"));
  });

  it("opens ports to this machine only, no two services the same", () => {
    const ports = [...file.matchAll(/ports: \["(.*)"\]/g)].map(([, port = ""]) => port);
    expect(ports).toHaveLength(6);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:2113$/);
    expect(new Set(ports).size).toBe(ports.length);
  });

  it("says for every server when it is ready, so that --wait waits for that", () => {
    for (const [name, lines] of services()) {
      const isServer = name !== "certificates";
      expect({ name, hasHealth: /healthcheck:|<<: \*(eventstoredb|cluster-node)\n/.test(lines) }).toEqual({
        name,
        hasHealth: isServer,
      });
    }
  });

  it.each(["README.md", "docs/eventstoredb.md"])("%s names ports that it opens", (page) => {
    const open = new Set([...file.matchAll(/"127\.0\.0\.1:(\d+):/g)].map(([, port]) => port));
    const named = [...readPage(page).matchAll(/localhost:(\d+)/g)].map(([, port]) => port);
    expect(named.length).toBeGreaterThan(0);
    for (const port of named) expect({ port, isOpen: open.has(port) }).toEqual({ port, isOpen: true });
  });
});
