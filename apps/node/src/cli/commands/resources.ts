import {
  formatResourceRef,
  parseResourceSelector,
  type ResourceFormat,
  type ResourceSelector,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
} from "@revoada/fabric";
import { CliUsageError } from "../../errors.ts";
import type { NodeClient } from "../../client.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { oneLine, renderTable, type Cell } from "../output.ts";
import { dataDirectoryFlag } from "../../config/settings.ts";
import {
  clientFlags,
  fenceFlag,
  fenceOf,
  kindArgument,
  namespaceFlag,
  numberFlag,
  outputOf,
  parseKind,
  resourceOf,
  show,
  withNode,
} from "./common.ts";

const bodyFormats = ["yaml", "json", "native"] as const;
const staleFlag: FlagSpec = { name: "stale", summary: "answer from this node at once, even if it is behind" };
const revisionFlag: FlagSpec = {
  name: "if-revision",
  value: "REVISION",
  summary: "only where the resource still has this revision",
};
const pageSize = 500;

function consistencyOf(invocation: Invocation): { readonly consistency: "stale" | "linearizable" } {
  return { consistency: invocation.has("stale") ? "stale" : "linearizable" };
}

function revisionOf(invocation: Invocation, flag: string): Revision | undefined {
  return numberFlag(invocation, flag, { least: 0, most: Number.MAX_SAFE_INTEGER }) as Revision | undefined;
}

/** How far an answer of this node may be behind the cluster. */
function renderAge(ageMs: number): string {
  return ageMs === 0
    ? "stale: this node knows itself current"
    : `stale: this node last knew itself current ${(ageMs / 1000).toFixed(1)} s ago`;
}

async function get(invocation: Invocation, node: NodeClient): Promise<number> {
  const ref = resourceOf(invocation);
  const format = invocation.value("output") as ResourceFormat | undefined;
  const { signal, stdout, stderr } = invocation.io;
  const found = await node.face.get(ref, {
    ...(format === undefined ? {} : { format }),
    ...consistencyOf(invocation),
    signal,
  });
  stdout.write(found.body);
  // The resource alone goes to where it can be piped on.
  if (found.ageMs !== undefined) stderr.write(`${renderAge(found.ageMs)}\n`);
  if (found.format !== "native" && found.body.at(-1) !== 0x0a) stdout.write("\n");
  return exitCodes.ok;
}

/** `revoada get`. */
export const getCommand: CommandSpec = {
  path: ["get"],
  summary: "show one resource",
  arguments: [kindArgument, { name: "NAME", required: true }],
  flags: [
    namespaceFlag,
    {
      name: "output",
      short: "o",
      value: "FORMAT",
      summary: "the format (default: as it was applied)",
      choices: bodyFormats,
    },
    staleFlag,
    dataDirectoryFlag,
  ],
  examples: [
    { command: "revoada get Deployment.apps web -n shop", meaning: "as it was applied" },
    { command: "revoada get ConfigMap settings -o json", meaning: "as JSON" },
  ],
  run: (invocation) => withNode(invocation, (node) => get(invocation, node)),
};

function selectorOf(invocation: Invocation): ResourceSelector {
  const [kind] = invocation.arguments;
  const namespace = invocation.value("namespace");
  return parseResourceSelector({
    ...(kind === undefined ? {} : parseKind(kind)),
    ...(namespace === undefined ? {} : { namespace }),
  });
}

async function list(invocation: Invocation, node: NodeClient): Promise<number> {
  const selector = selectorOf(invocation);
  const { signal } = invocation.io;
  const items: StoredResource[] = [];
  let revision: Revision | undefined;
  let ageMs: number | undefined;
  let next: string | undefined;
  do {
    const page = await node.face.list(selector, {
      limit: pageSize,
      format: "json",
      ...consistencyOf(invocation),
      signal,
      ...(next === undefined ? {} : { next }),
    });
    items.push(...page.items);
    revision = page.revision;
    ageMs = page.ageMs ?? ageMs;
    next = page.next;
  } while (next !== undefined);
  const decoder = new TextDecoder();
  const value = {
    revision,
    ...(ageMs === undefined ? {} : { ageMs }),
    items: items.map(({ ref, revision: own, body, lease }) => ({
      ref,
      revision: own,
      ...(lease === undefined ? {} : { lease }),
      value: jsonOf(decoder.decode(body)),
    })),
  };
  show(invocation, value, (paint) => {
    const table =
      items.length === 0
        ? "no resources\n"
        : renderTable(["KIND", "NAMESPACE", "NAME", "REVISION"], items.map(rowOf), paint);
    return ageMs === undefined ? table : `${table}${paint("dim", renderAge(ageMs))}\n`;
  });
  return exitCodes.ok;
}

function rowOf({ ref, revision }: StoredResource): readonly Cell[] {
  return [
    ref.group === undefined ? ref.kind : `${ref.kind}.${ref.group}`,
    ref.namespace ?? "-",
    ref.name,
    String(revision),
  ];
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A value that JSON cannot say comes as the text that the face made of it.
    return text;
  }
}

/** `revoada list`. */
export const listCommand: CommandSpec = {
  path: ["list"],
  summary: "list resources, all of them or those of a kind",
  arguments: [{ ...kindArgument, required: false }],
  flags: [{ ...namespaceFlag, summary: 'only this namespace ("" for none)' }, staleFlag, ...clientFlags],
  examples: [
    { command: "revoada list", meaning: "everything" },
    { command: "revoada list Deployment.apps -n shop -o json", meaning: "one kind in one namespace, for programs" },
  ],
  run: (invocation) => withNode(invocation, (node) => list(invocation, node)),
};

/** `revoada delete`. */
export const deleteCommand: CommandSpec = {
  path: ["delete"],
  summary: "delete one resource",
  arguments: [kindArgument, { name: "NAME", required: true }],
  flags: [namespaceFlag, revisionFlag, fenceFlag, ...clientFlags],
  examples: [{ command: "revoada delete Deployment.apps web -n shop", meaning: "exit code 4 where it is not there" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const ref = resourceOf(invocation);
      const ifRevision = revisionOf(invocation, "if-revision");
      const fence = fenceOf(invocation);
      const { revision } = await node.face.delete(ref, {
        ...(ifRevision === undefined ? {} : { ifRevision }),
        ...fence,
        signal: invocation.io.signal,
      });
      show(invocation, { ref, revision }, () => `${formatResourceRef(ref)} deleted at revision ${revision}\n`);
      return exitCodes.ok;
    }),
};

function eventLine(event: ResourceWatchEvent): string {
  if (event.type === "reset") return `reset     revision ${event.revision}: ${event.reason}\n`;
  return `${event.type.padEnd(8)}  revision ${event.revision}  ${oneLine(formatResourceRef(event.ref))}\n`;
}

function eventValue(event: ResourceWatchEvent): unknown {
  if (event.type !== "added" && event.type !== "modified") return event;
  const { body, format: _format, ...rest } = event;
  return { ...rest, value: jsonOf(new TextDecoder().decode(body)) };
}

async function watch(invocation: Invocation, node: NodeClient): Promise<number> {
  if (outputOf(invocation) === "yaml")
    throw new CliUsageError("CLI_INVALID_VALUE", "--output: a watch is told as lines, expected json");
  const { io } = invocation;
  const fromRevision = revisionOf(invocation, "from-revision");
  const events = node.face.watch(selectorOf(invocation), {
    ...(fromRevision === undefined ? {} : { fromRevision }),
    format: "json",
    signal: io.signal,
  });
  try {
    for await (const event of events) {
      io.stdout.write(outputOf(invocation) === "json" ? `${JSON.stringify(eventValue(event))}\n` : eventLine(event));
    }
  } catch (error) {
    if (!io.signal.aborted) throw error;
  }
  return exitCodes.ok;
}

/** `revoada watch`. */
export const watchCommand: CommandSpec = {
  path: ["watch"],
  summary: "show changes of resources as they happen, until Ctrl-C",
  arguments: [{ ...kindArgument, required: false }],
  flags: [
    { ...namespaceFlag, summary: 'only this namespace ("" for none)' },
    {
      name: "from-revision",
      value: "REVISION",
      summary: "begin with the changes of this revision instead of what is there",
    },
    ...clientFlags,
  ],
  examples: [
    { command: "revoada watch", meaning: "everything that changes" },
    { command: "revoada watch Deployment.apps -o json", meaning: "one JSON object a line" },
  ],
  run: (invocation) => withNode(invocation, (node) => watch(invocation, node)),
};
