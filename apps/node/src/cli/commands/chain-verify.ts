import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import {
  checkpointVerdict,
  claimedCluster,
  ed25519Verifier,
  evidenceKind,
  verifyChainInParallel,
  verifyProofWith,
  verifySequenceWith,
  type ChainSpan,
  type CheckpointVerdict,
  type ProofVerdict,
  type VerifyOptions,
} from "@revoada/attest-blake3";
import {
  parseClusterId,
  parseNodeId,
  shortId,
  type ChainFault,
  type ChainRecovery,
  type ChainVerdict,
  type ClusterId,
} from "@revoada/fabric";
import { CliUsageError } from "../../errors.ts";
import { readBounded } from "../../files.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag, renderFacts, type Cell } from "../output.ts";
import { numberFlag, show } from "./common.ts";

/** A chain of a million shifts is smaller. */
const maxChainBytes = 1024 * 1024 * 1024;
const maxCheckpointBytes = 64 * 1024 * 1024;

const maxJobs = 256;
/** A smaller file is verified before threads have started. */
const parallelBytes = 4 * 1024 * 1024;

function jobsFor(bytes: number): number {
  return bytes < parallelBytes ? 1 : Math.min(maxJobs, availableParallelism());
}

type Facts = readonly (readonly [string, Cell])[];

/** A file of this invocation, bounded. */
export function readEvidence({ io }: Invocation, file: string, most: number = maxChainBytes): Promise<Uint8Array> {
  return readBounded(resolve(io.workingDirectory, file), most, file);
}

/** The checkpoint that `--from` names; undefined where it was not given. */
export async function checkpointFlag(invocation: Invocation): Promise<Uint8Array | undefined> {
  const file = invocation.value("from");
  if (file === undefined) return undefined;
  const bytes = await readEvidence(invocation, file, maxCheckpointBytes);
  if (evidenceKind(bytes) !== "checkpoint")
    throw new CliUsageError("CLI_INVALID_VALUE", `--from: ${file} is not a checkpoint, see revoada chain checkpoint`);
  return bytes;
}

/** The cluster that something must be of: told, or that of the checkpoint, or, where keys are trusted, the one that it claims. */
function clusterOf(invocation: Invocation, bytes: Uint8Array, options: VerifyOptions): ClusterId {
  const given = invocation.value("cluster");
  if (given !== undefined) return parseClusterId(given, "--cluster");
  if (options.from !== undefined) return claimedCluster(options.from);
  if (options.trust !== undefined) return claimedCluster(bytes);
  throw new CliUsageError(
    "CLI_MISSING_FLAG",
    "chain verify needs --cluster ID, --from CHECKPOINT or --trust KEY: one of them is what the verdict rests on",
  );
}

function exporterOf(invocation: Invocation): Pick<VerifyOptions, "exporter"> {
  const exporter = invocation.value("exporter");
  return exporter === undefined ? {} : { exporter: parseNodeId(exporter, "--exporter") };
}

async function verify(invocation: Invocation): Promise<number> {
  const [file = ""] = invocation.arguments;
  const keys = invocation.values("trust").map((key) => parseNodeId(key, "--trust"));
  const from = await checkpointFlag(invocation);
  const options: VerifyOptions = {
    ...(keys.length === 0 ? {} : { trust: keys }),
    ...(from === undefined ? {} : { from }),
    ...exporterOf(invocation),
  };
  const bytes = await readEvidence(invocation, file);
  const clusterId = clusterOf(invocation, bytes, options);
  const verifier = ed25519Verifier();
  const asked = numberFlag(invocation, "jobs", { least: 1, most: maxJobs });
  if (invocation.arguments.length > 1) {
    if (asked !== undefined && asked > 1)
      throw new CliUsageError("CLI_INVALID_VALUE", "--jobs goes with one file: several are verified on one thread");
    return verifyAll(invocation, bytes, clusterId, options);
  }
  const kind = evidenceKind(bytes);
  if (kind === "proof") {
    const verdict = verifyProofWith(bytes, clusterId, verifier, options);
    return tell(invocation, kind, verdict, verdict.ok ? proofFacts(verdict) : []);
  }
  if (kind === "checkpoint") {
    const verdict = checkpointVerdict(bytes, clusterId, verifier, options);
    return tell(invocation, kind, verdict, verdict.ok ? checkpointFacts(verdict, keys.length > 0) : []);
  }
  const jobs = asked ?? jobsFor(bytes.length);
  const { signal } = invocation.io;
  const verdict = await verifyChainInParallel(bytes, clusterId, { ...options, jobs, signal });
  const code = tell(invocation, kind, verdict, verdict.ok ? chainFacts(verdict) : []);
  return verdict.ok ? judged(invocation, verdict, code) : code;
}

/** Files that together are one chain: archived segments, and what is kept. */
async function verifyAll(
  invocation: Invocation,
  first: Uint8Array,
  clusterId: ClusterId,
  options: VerifyOptions,
): Promise<number> {
  const others = invocation.arguments.slice(1).map((file) => readEvidence(invocation, file));
  const files = [first, ...(await Promise.all(others))];
  const verdict = verifySequenceWith(files, clusterId, ed25519Verifier(), options);
  const held: Facts = verdict.ok ? [["files", `${files.length}, ${counted(verdict.spans)}`]] : [];
  const culprit = verdict.ok || verdict.file === undefined ? "" : `${invocation.arguments[verdict.file] ?? ""}: `;
  const told = verdict.ok
    ? verdict
    : { ...verdict, fault: { ...verdict.fault, message: `${culprit}${verdict.fault.message}` } };
  const code = tell(invocation, "chain", told, verdict.ok ? [...held, ...chainFacts(verdict)] : []);
  return verdict.ok ? judged(invocation, verdict, code) : code;
}

function counted(spans: readonly ChainSpan[]): string {
  return spans.map(({ from, to }) => `${from + 1} to ${to}`).join(", ");
}

/** What else an invocation asks of a chain that verifies. */
function judged(invocation: Invocation, verdict: Verified, code: number): number {
  if (invocation.has("operator-signed") && !isSigned(verdict)) return exitCodes.failed;
  return verdict.recoveries.length > 0 && invocation.has("no-recovery") ? exitCodes.failed : code;
}

function tell(
  invocation: Invocation,
  kind: string,
  verdict: { readonly ok: true } | { readonly ok: false; readonly fault: ChainFault },
  facts: Facts,
): number {
  show(invocation, { kind, ...verdict }, (paint) =>
    verdict.ok
      ? renderFacts([["verdict", { text: `the ${kind} verifies`, style: "green" }], ...facts], paint)
      : renderFacts(
          [
            ["verdict", { text: `THE ${kind.toUpperCase()} DOES NOT VERIFY`, style: "red" }],
            ["where", `height ${verdict.fault.height}`],
            ["why", `${verdict.fault.reason}: ${verdict.fault.message}`],
          ],
          paint,
        ),
  );
  return verdict.ok ? exitCodes.ok : exitCodes.failed;
}

type Verified = Extract<ChainVerdict, { ok: true }>;

/** True where an operator vouches for everything in the chain. */
function isSigned({ operators, head }: Verified): boolean {
  return operators !== undefined && operators.signed.height === head.height;
}

/** Whose signatures count, and from where on one is awaited; nothing where the cluster has no operator keys. */
function operatorFacts({ operators, sealed }: Verified): Facts {
  if (operators === undefined) return [];
  const { inForce, signed } = operators;
  const isBehind = signed.height < (sealed?.height ?? 0);
  const text = isBehind
    ? `sealed by voters, awaiting an operator from height ${signed.height + 1}`
    : `signed up to ${signed.height}`;
  return [
    ["operators", inForce.map(shortId).join(", ")],
    ["operator", isBehind ? { text, style: "yellow" } : text],
  ];
}

function chainFacts(verdict: Verified): Facts {
  const { head, sealed, base } = verdict;
  return [
    ["cluster", verdict.clusterId],
    ["blocks", base === undefined ? String(head.height) : `${base + 1} to ${head.height}, from a checkpoint on`],
    ["head", head.hash],
    ["sealed", sealed === undefined ? "nothing but genesis" : `up to ${sealed.height}`],
    ["formation", `generation ${verdict.generation}`],
    ...exportFacts(verdict),
    ...operatorFacts(verdict),
    ...verdict.recoveries.map(recoveryFact),
  ];
}

/** Who handed the file over; nothing where nobody signed it as a whole. */
function exportFacts({ export: exported }: Verified): Facts {
  if (exported === undefined) return [];
  const { exporter, exportedMs, isMember } = exported;
  const text = `by ${exporter} at ${iso(exportedMs)}, by its clock`;
  return [["exported", isMember ? text : { text: `${text}; it is not in the formation`, style: "yellow" }]];
}

/** What no majority agreed to is told in so many words. */
function recoveryFact({ height, node, lost, timeMs }: ChainRecovery): readonly [string, Cell] {
  const text = `block ${height}, ${iso(timeMs)}: ${shortId(node)} went on alone, without a majority, and gave ${lost.length} nodes up (${lost.map(shortId).join(", ")})`;
  return ["RECOVERY", { text, style: "red" }];
}

function proofFacts(verdict: Extract<ProofVerdict, { ok: true }>): Facts {
  const { record, shift, untilMs, atMs, fromMs, sealed } = verdict;
  const absent = verdict.removed ? "not in the formation, removed for ever" : "not in the formation";
  const place =
    record === undefined
      ? absent
      : [record.state, record.role, record.replica === "none" ? "no replica" : record.replica, ...record.flags]
          .filter((part) => part !== undefined)
          .join(", ");
  const open: Cell = {
    text: `up to ${iso(fromMs)}, where the sealed chain ends: what followed until ${iso(atMs)} is not in the proof`,
    style: "yellow",
  };
  return [
    ["cluster", verdict.clusterId],
    ["node", verdict.node],
    ["at", iso(atMs)],
    ["was", { text: place, style: "bold" }],
    ...(record === undefined ? [] : [["since", iso(record.lastShiftMs)] as const, ["zone", record.zone] as const]),
    ["formation", `generation ${verdict.generation}, after block ${verdict.height}`],
    ["proven", untilMs === undefined ? open : `from ${iso(fromMs)} until ${iso(untilMs)}`],
    ...(shift === undefined
      ? []
      : [["shift", `block ${shift.height}, ${shift.verb} by ${shortId(shift.proposer)}: ${shift.reason}`] as const]),
    ["sealed", `by block ${sealed.height}, ${restsOn[verdict.rests]}`],
  ];
}

const restsOn: Readonly<Record<Extract<ProofVerdict, { ok: true }>["rests"], string>> = {
  genesis: "signed by voters who follow from genesis",
  keys: "signed by a majority of the trusted keys",
  checkpoint: "signed by voters who follow from the checkpoint",
};

function checkpointFacts(verdict: Extract<CheckpointVerdict, { ok: true }>, trusted: boolean): Facts {
  const { head, voters } = verdict;
  return [
    ["cluster", verdict.clusterId],
    ["block", String(head.height)],
    ["hash", head.hash],
    ["at", iso(verdict.timeMs)],
    ["formation", `generation ${verdict.generation}, ${verdict.nodes} nodes`],
    ["voters", voters.join(" ")],
    [
      "sealed",
      trusted
        ? "by a majority of the trusted keys"
        : { text: "by the voters that it names itself: it is worth as much as whoever it came from", style: "yellow" },
    ],
  ];
}

function iso(timeMs: number): string {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? `${timeMs} ms` : date.toISOString();
}

/** `revoada chain verify`. */
export const chainVerifyCommand: CommandSpec = {
  path: ["chain", "verify"],
  summary: "verify a chain, a proof or a checkpoint offline, by its bytes and what you trust",
  arguments: [{ name: "FILE", required: true, repeatable: true, completes: "file" }],
  details: [
    "Several files are verified as one chain, in the order of their heights: archived segments, and an export of what is kept.",
    "",
    "What you trust is the cluster id (everything is derived from genesis then), the keys of voters (a majority of them must have",
    "sealed the end), or a checkpoint that you have verified before. A file that begins with a checkpoint needs one of the latter two.",
    "",
    "Where a majority was lost and one node went on alone, that is named: such a block rests on the word of that node, and whoever",
    "held its key could have made it. Whether it was an operator's will is for you to know.",
  ],
  flags: [
    { name: "cluster", value: "ID", summary: "the id of the cluster that it must be of" },
    {
      name: "trust",
      value: "KEY",
      summary: "the key of a node that you know to vote at the end; once for each",
      repeatable: true,
    },
    {
      name: "from",
      value: "CHECKPOINT",
      summary: "a checkpoint that you trust: signatures below it are not checked again",
      completes: "file",
    },
    { name: "exporter", value: "KEY", summary: "the key of the node that must have signed the file as its export" },
    {
      name: "jobs",
      value: "N",
      summary: "check the signatures of a chain on N threads; as many as there are cores for 4 MiB or more, else 1",
    },
    { name: "no-recovery", summary: "exit code 1 also where one node went on alone" },
    { name: "operator-signed", summary: "exit code 1 also where no operator vouches for all of it" },
    outputFlag,
    { name: "json", summary: "as --output json" },
  ],
  examples: [
    { command: "revoada chain verify cluster.chain --cluster 9f2c…", meaning: "exit code 1 where it does not verify" },
    { command: "revoada chain verify cluster.chain --from may.checkpoint", meaning: "what came since" },
    {
      command: "revoada chain verify cluster.chain --cluster 9f2c… --jobs 8",
      meaning: "the same verdict, by 8 threads",
    },
    { command: "revoada chain verify shift.proof --cluster 9f2c… --output json", meaning: "one proof, for a program" },
  ],
  run: verify,
};
