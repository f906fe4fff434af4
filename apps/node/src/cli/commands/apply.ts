import { readdir, stat } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { formatResourceRef, type AppliedResource, type ResourceFormat } from "@revoada/fabric";
import { defaultFormats, maxDocumentBytes } from "@revoada/format";
import { CliFileError, CliFileTooLargeError, CliUsageError } from "../../errors.ts";
import { readBounded } from "../../files.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Style } from "../output.ts";
import { clientFlags, fenceFlag, fenceOf, parseLease, show, withNode } from "./common.ts";

/** One body that was read, and what messages call it. */
interface Body {
  readonly source: string;
  readonly format: ResourceFormat;
  readonly bytes: Uint8Array;
}

const formatOfExtension: Readonly<Record<string, ResourceFormat>> = {
  ".yaml": "yaml",
  ".yml": "yaml",
  ".json": "json",
  ".rvd": "native",
};

const bodyFormats = ["yaml", "json", "native"] as const;
const maxFiles = 10_000;

async function readInput(invocation: Invocation): Promise<readonly Body[]> {
  const asked = invocation.value("format") as ResourceFormat | undefined;
  const bodies: Body[] = [];
  for (const source of invocation.values("file")) {
    if (source === "-") bodies.push({ source: "stdin", format: asked ?? "yaml", bytes: await readStdin(invocation) });
    else bodies.push(...(await readPath(source, resolve(invocation.io.workingDirectory, source), asked)));
  }
  return bodies;
}

async function readPath(source: string, path: string, asked: ResourceFormat | undefined): Promise<readonly Body[]> {
  const isDirectory = await stat(path).then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      throw new CliFileError("read", source, error);
    },
  );
  if (!isDirectory) {
    const format = asked ?? formatOfExtension[extname(path).toLowerCase()];
    if (format === undefined) {
      throw new CliUsageError(
        "CLI_UNKNOWN_FORMAT",
        `${source}: its name does not tell its format, say --format ${bodyFormats.join(", ")}`,
      );
    }
    return [{ source, format, bytes: await readBounded(path, maxDocumentBytes, source) }];
  }
  const names = (await readdir(path))
    .filter((name) => formatOfExtension[extname(name).toLowerCase()] !== undefined)
    .toSorted();
  if (names.length === 0)
    throw new CliUsageError(
      "CLI_NOTHING_TO_APPLY",
      `${source}: no file ends in ${Object.keys(formatOfExtension).join(", ")}`,
    );
  if (names.length > maxFiles)
    throw new CliUsageError(
      "CLI_NOTHING_TO_APPLY",
      `${source}: ${names.length} files, at most ${maxFiles} are taken at once`,
    );
  const bodies: Body[] = [];
  for (const name of names) bodies.push(...(await readPath(join(source, name), join(path, name), asked)));
  return bodies;
}

async function readStdin(invocation: Invocation): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of invocation.io.stdin) {
    total += chunk.length;
    if (total > maxDocumentBytes) throw new CliFileTooLargeError("stdin", total, maxDocumentBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const outcomeStyles: Readonly<Record<AppliedResource["outcome"], Style>> = {
  created: "green",
  updated: "yellow",
  unchanged: "dim",
};

async function apply(invocation: Invocation): Promise<number> {
  if (!invocation.has("file")) throw new CliUsageError("CLI_MISSING_FLAG", "apply needs -f FILE, -f DIRECTORY or -f -");
  const [lease, fence] = [invocation.value("lease"), fenceOf(invocation)];
  const terms = { ...(lease === undefined ? {} : { lease: parseLease(lease, "--lease") }), ...fence };
  const bodies = await readInput(invocation);
  // Everything is read and understood before anything is applied: a mistake in the last file must not leave half a directory behind.
  const formats = defaultFormats();
  for (const { source, format, bytes } of bodies) formats.get(format).decode(bytes, source);
  return withNode(invocation, async (node) => {
    const applied: AppliedResource[] = [];
    try {
      for (const { source, format, bytes } of bodies) {
        applied.push(
          ...(await node.face.apply({ format, body: bytes, source, ...terms }, { signal: invocation.io.signal })),
        );
      }
    } catch (error) {
      // Each file is a transaction of its own: those before this one were applied, and whoever asked has to know which.
      if (applied.length > 0) showApplied(invocation, applied);
      throw error;
    }
    showApplied(invocation, applied);
    return exitCodes.ok;
  });
}

function showApplied(invocation: Invocation, applied: readonly AppliedResource[]): void {
  show(invocation, applied, (paint) =>
    renderTable(
      ["RESOURCE", "OUTCOME", "REVISION"],
      applied.map(({ ref, outcome, revision }) => [
        formatResourceRef(ref),
        { text: outcome, style: outcomeStyles[outcome] },
        String(revision),
      ]),
      paint,
    ),
  );
}

/** `revoada apply`. */
export const applyCommand: CommandSpec = {
  path: ["apply"],
  summary: "create or update resources from files",
  details: [
    "Each file is one transaction: all of its documents or none. Everything is read and checked before the first is applied.",
  ],
  arguments: [],
  flags: [
    {
      name: "file",
      short: "f",
      value: "FILE|DIR|-",
      summary: "what to apply; - reads standard input",
      completes: "file",
      repeatable: true,
    },
    { name: "format", value: "FORMAT", summary: "the format, where the name does not tell it", choices: bodyFormats },
    {
      name: "lease",
      value: "LEASE",
      summary: "they belong to this lease and go with it; without it they belong to none",
    },
    fenceFlag,
    ...clientFlags,
  ],
  examples: [
    { command: "revoada apply -f web.yaml", meaning: "every document of a file" },
    { command: "revoada apply -f manifests/", meaning: "every file of a directory, by name" },
    { command: "cat web.json | revoada apply -f - --format json", meaning: "from a pipe" },
    { command: "revoada apply -f host.yaml --lease 1042", meaning: "gone when lease 1042 ends" },
  ],
  run: apply,
};
