import { resolve } from "node:path";
import { checkpointOf, ed25519Verifier, joinChain, proveNode, verifyProofWith } from "@revoada/attest-blake3";
import { parseClusterId, parseNodeId, type ClusterId, type NodeId } from "@revoada/fabric";
import { CliFileError, CliUsageError } from "../../errors.ts";
import { writeDurably } from "../../files.ts";
import { dataDirectoryFlag } from "../../config/settings.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { withNode } from "./common.ts";
import { checkpointFlag, readEvidence } from "./chain-verify.ts";

const sourceFlags: readonly FlagSpec[] = [
  dataDirectoryFlag,
  {
    name: "chain",
    value: "FILE",
    summary: "an exported chain, in place of that of the daemon, or archived segments, once for each; needs --cluster",
    completes: "file",
    repeatable: true,
  },
  { name: "cluster", value: "ID", summary: "the cluster that the file must be of" },
];

interface Source {
  readonly chain: Uint8Array;
  readonly clusterId: ClusterId;
  /** Every node that the chain ever knew; undefined for a file, which has not been read. */
  readonly known?: readonly string[];
}

/** The chain that this invocation is about: that of a running node, or a file. */
async function sourceOf(invocation: Invocation): Promise<Source> {
  const files = invocation.values("chain");
  const given = invocation.value("cluster");
  if (files.length > 0) {
    if (given === undefined)
      throw new CliUsageError("CLI_MISSING_FLAG", "--chain FILE needs --cluster ID: the id is what a proof rests on");
    const clusterId = parseClusterId(given, "--cluster");
    const chains = await Promise.all(files.map((file) => readEvidence(invocation, file)));
    const [only] = chains;
    return { chain: only !== undefined && chains.length === 1 ? only : joinChain(chains, clusterId), clusterId };
  }
  return withNode(invocation, async (node) => {
    const { blocks, founder, cluster, nodes } = await node.chainShow();
    const known = [...new Set([founder, ...nodes, ...blocks.map((block) => block.node)])];
    return { chain: await node.chainExport(), clusterId: parseClusterId(cluster, "cluster"), known };
  });
}

/** A node by its id, or by the beginning of it that no other has where the chain's nodes are known. */
function nodeOf(given: string, known: readonly string[] | undefined): NodeId {
  if (known === undefined) return parseNodeId(given, "--node");
  const matching = known.filter((id) => id.startsWith(given));
  if (matching.length === 1) return matching[0] as NodeId;
  // A whole id that the chain never knew has a proof too: that it was not there.
  if (matching.length === 0 && given.length === 64) return parseNodeId(given, "--node");
  const problem = matching.length === 0 ? "no node of the chain begins" : `${matching.length} nodes of the chain begin`;
  throw new CliUsageError("CLI_INVALID_VALUE", `--node: ${problem} with ${JSON.stringify(given)}`);
}

function timeOf(text: string): number {
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isSafeInteger(timeMs) && timeMs >= 0) return timeMs;
  throw new CliUsageError(
    "CLI_INVALID_VALUE",
    `--at: expected a time such as 2026-05-01T12:00:00Z, got ${JSON.stringify(text)}`,
  );
}

function required(invocation: Invocation, flag: string): string {
  const value = invocation.value(flag);
  if (value === undefined) throw new CliUsageError("CLI_MISSING_FLAG", `chain prove needs --${flag}`);
  return value;
}

async function write({ io }: Invocation, file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeDurably(resolve(io.workingDirectory, file), [bytes], { mode: 0o644 });
  } catch (error) {
    throw new CliFileError("write", file, error);
  }
}

async function prove(invocation: Invocation): Promise<number> {
  const atMs = timeOf(required(invocation, "at"));
  const wanted = required(invocation, "node");
  const from = await checkpointFlag(invocation);
  const { chain, clusterId, known } = await sourceOf(invocation);
  const node = nodeOf(wanted, known);
  const options = from === undefined ? {} : { from };
  const proof = proveNode(chain, clusterId, { node, atMs, ...options });
  const verdict = verifyProofWith(proof, clusterId, ed25519Verifier(), options);
  const { stderr, stdout } = invocation.io;
  if (!verdict.ok) {
    const { reason, height, message } = verdict.fault;
    stderr.write(`the chain does not prove it: ${reason} at height ${height}: ${message}\n`);
    return exitCodes.failed;
  }
  const file = invocation.value("output") ?? `${node.slice(0, 12)}-${atMs}.proof`;
  await write(invocation, file, proof);
  const rest = from === undefined ? `--cluster ${clusterId}` : `--from ${invocation.value("from") ?? ""}`;
  stdout.write(`${proof.length} bytes written to ${file}\nverify with: revoada chain verify ${file} ${rest}\n`);
  if (verdict.untilMs === undefined)
    stderr.write("nothing later is sealed: the proof reaches up to the last sealed shift, not to the time asked for\n");
  return exitCodes.ok;
}

/** `revoada chain prove`. */
export const chainProveCommand: CommandSpec = {
  path: ["chain", "prove"],
  summary: "write a small file that proves alone what a node was at a time",
  arguments: [],
  details: [
    "The time is committed time: that of the leaders' clocks, as the chain holds it. With --from the proof begins at a checkpoint that",
    "whoever verifies it has, and stays small however often voters were replaced since genesis.",
  ],
  flags: [
    { name: "node", value: "ID", summary: "the node, by its id or the beginning of it" },
    { name: "at", value: "TIME", summary: "the time, as in 2026-05-01T12:00:00Z" },
    { name: "output", short: "o", value: "FILE", summary: "where to write the proof", completes: "file" },
    { name: "from", value: "CHECKPOINT", summary: "begin at this checkpoint", completes: "file" },
    ...sourceFlags,
  ],
  examples: [
    {
      command: "revoada chain prove --node 3f9a --at 2026-05-01T12:00:00Z -o shift.proof",
      meaning: "then: revoada chain verify shift.proof --cluster ID",
    },
  ],
  run: prove,
};

/** `revoada chain checkpoint`. */
export const chainCheckpointCommand: CommandSpec = {
  path: ["chain", "checkpoint"],
  summary: "write the state at the highest sealed head, from which chain verify can go on",
  arguments: [{ name: "FILE", required: true, completes: "file" }],
  flags: sourceFlags,
  examples: [
    {
      command: "revoada chain checkpoint may.checkpoint",
      meaning: "later: revoada chain verify cluster.chain --from may.checkpoint",
    },
  ],
  run: async (invocation) => {
    const [file = ""] = invocation.arguments;
    const { chain, clusterId } = await sourceOf(invocation);
    const bytes = checkpointOf(chain, clusterId, ed25519Verifier());
    await write(invocation, file, bytes);
    invocation.io.stdout.write(
      `${bytes.length} bytes written to ${file}\nverify what follows with: revoada chain verify CHAIN --from ${file}\n`,
    );
    return exitCodes.ok;
  },
};
