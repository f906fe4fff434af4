import { blake3Attestor, loadIdentity, loadOrCreateIdentity } from "@revoada/attest-blake3";
import { formatWalReport, inspectWal, verifyWal } from "@revoada/consensus-raft";
import { lockDirectory, nodeDisk } from "@revoada/fabric/node";
import { dataDirectoryFlag } from "../../config/settings.ts";
import { DataDirectory, dataPaths, readNodeFile } from "../../data-directory/data-directory.ts";
import { NotInitialisedError } from "../../errors.ts";
import { version } from "../../version.ts";
import { committedDeclaration } from "../../daemon/declare.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag, renderFacts } from "../output.ts";
import { clientFlags, directoryOf, show } from "./common.ts";

/** `revoada identity`. */
export const identityCommand: CommandSpec = {
  path: ["identity"],
  summary: "show who the node of a data directory is; no daemon is needed",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada identity -o json", meaning: "node id, cluster id and store id" }],
  run: async (invocation) => {
    const directory = directoryOf(invocation);
    const paths = dataPaths(directory);
    const file = await readNodeFile(paths);
    if (file === undefined) throw new NotInitialisedError(directory);
    const { identity } = await loadIdentity(paths.key);
    const declaration = committedDeclaration(blake3Attestor(identity).openGenesis(file.genesis)).id();
    const facts = {
      node: identity.id,
      cluster: file.cluster,
      declaration,
      storeId: file.store,
      generation: file.generation,
      dataDir: directory,
      left: file.left === true,
    };
    show(invocation, facts, (paint) =>
      renderFacts(
        [
          ["node", facts.node],
          ["cluster", facts.cluster],
          ["declaration", facts.declaration],
          ["store", facts.storeId],
          ["starts", `generation ${facts.generation}`],
          ...(facts.left ? ([["place", { text: "given up", style: "yellow" }]] as const) : []),
        ],
        paint,
      ),
    );
    return exitCodes.ok;
  },
};

/** `revoada key create`. */
export const keyCreateCommand: CommandSpec = {
  path: ["key", "create"],
  summary: "make the key of a node before its first start, and show its id; a key that is there stays",
  details: ["Nodes that found a cluster together, by up --bootstrap-expect, must know each other's ids beforehand."],
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada key create --data-dir /var/lib/revoada", meaning: "prints the node id" }],
  run: async (invocation) => {
    const data = await DataDirectory.open(directoryOf(invocation));
    try {
      const { identity } = await loadOrCreateIdentity(data.paths.key);
      show(invocation, { node: identity.id }, () => `${identity.id}\n`);
      return exitCodes.ok;
    } finally {
      await data[Symbol.asyncDispose]();
    }
  },
};

/** `revoada version`. */
export const versionCommand: CommandSpec = {
  path: ["version"],
  summary: "show the version of this program",
  arguments: [],
  flags: [outputFlag],
  examples: [{ command: "revoada version -o json", meaning: "with the version of Node" }],
  run: async (invocation) => {
    show(invocation, { version, node: process.version }, () => `revoada ${version}\n`);
    return exitCodes.ok;
  },
};

/** Reads the log of a stopped node: what a running one is writing cannot be judged. */
async function withLog(invocation: Invocation, check: (directory: string) => Promise<number>): Promise<number> {
  const directory = directoryOf(invocation);
  if ((await readNodeFile(dataPaths(directory))) === undefined) throw new NotInitialisedError(directory);
  const lock = await lockDirectory(directory);
  try {
    return await check(directory);
  } finally {
    await lock.release();
  }
}

const walFlags = [dataDirectoryFlag, outputFlag];

/** `revoada wal inspect`. */
export const walInspectCommand: CommandSpec = {
  path: ["wal", "inspect"],
  summary: "describe the write-ahead log of a stopped node",
  arguments: [],
  flags: walFlags,
  examples: [{ command: "revoada wal inspect", meaning: "segments, entries, term and vote" }],
  run: (invocation) =>
    withLog(invocation, async (directory) => {
      const report = await inspectWal(nodeDisk(directory));
      show(invocation, report, () => formatWalReport(report));
      return exitCodes.ok;
    }),
};

/** `revoada wal verify`. */
export const walVerifyCommand: CommandSpec = {
  path: ["wal", "verify"],
  summary: "check every byte of the write-ahead log of a stopped node; exit code 1 where something may be missing",
  arguments: [],
  flags: walFlags,
  examples: [{ command: "revoada wal verify", meaning: "changes nothing" }],
  run: (invocation) =>
    withLog(invocation, async (directory) => {
      const { ok, report } = await verifyWal(nodeDisk(directory));
      show(invocation, { ok, ...report }, () => formatWalReport(report));
      return ok ? exitCodes.ok : exitCodes.failed;
    }),
};
