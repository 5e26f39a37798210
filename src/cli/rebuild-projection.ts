import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { InvalidInputError, NotFoundError } from "../errors.ts";
import { rebuildProjection } from "../projections/open-projection.ts";
import { type ProjectionDefinition, isProjectionDefinition } from "../projections/own-projection.ts";
import type { CliContext } from "./cli-context.ts";
import { ExitCode } from "./exit-code.ts";
import { count, duration, plural } from "./figures.ts";
import { interruptible } from "./interruptible.ts";
import { type StoreOption, storeUrl } from "./store-access.ts";
import { terminalJson, terminalLine } from "./terminal-text.ts";

interface ProjectionOptions extends StoreOption {
  dryRun?: true;
  views?: string;
  json?: true;
  quiet?: true;
}

/** Rebuilds a projection that a module of the user's exports. */
export async function rebuildOwnProjection(
  name: string | undefined,
  modulePath: string,
  options: ProjectionOptions,
  context: CliContext,
): Promise<void> {
  const definition = await loadDefinition(modulePath, name);
  const rebuilt = await interruptible((signal) =>
    rebuildProjection(storeUrl(options, context.env), definition, {
      views: options.views,
      dryRun: options.dryRun,
      signal,
    }),
  );
  if (rebuilt.exitCode !== undefined) context.exitCode = rebuilt.exitCode;
  const { comparison, events, position, elapsedMs, isInService } = rebuilt.result;
  if (options.dryRun === true && comparison === "different") context.exitCode = ExitCode.problem;
  if (options.json === true)
    return context.out.line(
      terminalJson({ kind: "report", ...rebuilt.result, comparison: comparison ?? null }),
    );
  if (options.quiet === true && comparison !== "different") return;
  const compared = {
    same: "the same as before",
    different: "different from before",
    none: "nothing to compare with",
  }[comparison ?? "none"];
  const kept = isInService ? "kept" : "dry run, nothing kept";
  await context.out.line(
    terminalLine(
      `${definition.name}: ${plural(events, "event")} up to position ${count(position)} in ${duration(elapsedMs)}; ${compared}; ${kept}.`,
    ),
  );
}

async function loadDefinition(
  modulePath: string,
  name: string | undefined,
): Promise<ProjectionDefinition<unknown>> {
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(resolve(modulePath)).href)) as Record<string, unknown>;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidInputError("invalid-projection", `The module ${modulePath} cannot be loaded: ${why}.`, {
      cause,
    });
  }
  const found = [...new Set(Object.values(module).filter(isProjectionDefinition))];
  const named = name === undefined ? found : found.filter((definition) => definition.name === name);
  const [only, another] = named;
  if (only !== undefined && another === undefined) return only;
  const names = found.map((definition) => definition.name).join(", ") || "none";
  throw new NotFoundError(
    "projection-not-found",
    name === undefined
      ? `Name the projection to rebuild: ${modulePath} exports ${names}.`
      : `The module ${modulePath} exports no projection ${JSON.stringify(name)}, but ${names}.`,
  );
}
