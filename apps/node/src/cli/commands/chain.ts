import { resolve } from "node:path";
import { ed25519Verifier, verifyChainWith } from "@revoada/attest-blake3";
import { parseClusterId, shortId, type ChainRecovery, type ChainVerdict } from "@revoada/fabric";
import { CliFileError, CliUsageError } from "../../errors.ts";
import { readBounded, writeDurably } from "../../files.ts";
import type { CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag, renderFacts, renderTable, type Cell } from "../output.ts";
import { clientFlags, show, withNode } from "./common.ts";
import { operatorCell, operatorHeading, placeOf } from "./place.ts";

const fileArgument = { name: "FILE", required: true, completes: "file" } as const;
/** A chain of a million shifts is smaller. */
const maxChainBytes = 1024 * 1024 * 1024;

/** `revoada chain show`. */
export const chainShowCommand: CommandSpec = {
  path: ["chain", "show"],
  summary: "show every shift of a role, verified while it is read",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada chain show", meaning: "who became what, when and why" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const report = await node.chainShow();
      show(invocation, report, (paint) => {
        const rows = report.blocks.map((block): readonly Cell[] => [
          String(block.height),
          block.verb === "recover" ? { text: block.verb, style: "red" } : block.verb,
          shortId(block.node),
          placeOf(block),
          `${block.term}/${block.index}`,
          new Date(block.timeMs).toISOString(),
          block.sealed ? { text: "sealed", style: "green" } : "",
          ...operatorCell(block),
          block.reason,
        ]);
        const head = `cluster ${report.cluster}, founded by ${shortId(report.founder)}, sealed up to ${report.sealedHeight}`;
        return `${paint("dim", head)}\n${renderTable(["HEIGHT", "SHIFT", "NODE", "PLACE", "TERM/INDEX", "TIME", "SEAL", ...operatorHeading(report.blocks), "REASON"], rows, paint)}`;
      });
      return exitCodes.ok;
    }),
};

/** `revoada chain export`. */
export const chainExportCommand: CommandSpec = {
  path: ["chain", "export"],
  summary: "write the chain to a file that verifies offline",
  arguments: [fileArgument],
  flags: clientFlags,
  examples: [
    { command: "revoada chain export cluster.chain", meaning: "then: revoada chain verify cluster.chain --cluster ID" },
  ],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const {
        io,
        arguments: [file = ""],
      } = invocation;
      const bytes = await node.chainExport();
      await writeDurably(resolve(io.workingDirectory, file), [bytes], { mode: 0o644 }).catch((error: unknown) => {
        throw new CliFileError("write", file, error);
      });
      const { cluster } = await node.identity();
      show(
        invocation,
        { file, bytes: bytes.length, cluster },
        () =>
          `${bytes.length} bytes written to ${file}\nverify with: revoada chain verify ${file} --cluster ${cluster}\n`,
      );
      return exitCodes.ok;
    }),
};

async function verify(invocation: Invocation): Promise<number> {
  const {
    io,
    arguments: [file = ""],
  } = invocation;
  const given = invocation.value("cluster");
  if (given === undefined)
    throw new CliUsageError("CLI_MISSING_FLAG", "chain verify needs --cluster ID: the id is what the proof rests on");
  const clusterId = parseClusterId(given, "--cluster");
  const bytes = await readBounded(resolve(io.workingDirectory, file), maxChainBytes, file);
  const verdict = verifyChainWith(bytes, clusterId, ed25519Verifier());
  show(invocation, verdict, (paint) =>
    verdict.ok
      ? renderFacts(
          [
            ["verdict", { text: "the chain verifies", style: "green" }],
            ["cluster", verdict.clusterId],
            ["blocks", String(verdict.head.height)],
            ["head", verdict.head.hash],
            ["sealed", verdict.sealed === undefined ? "nothing but genesis" : `up to ${verdict.sealed.height}`],
            ["formation", `generation ${verdict.generation}`],
            ...operatorFacts(verdict),
            ...verdict.recoveries.map(recoveryFact),
          ],
          paint,
        )
      : renderFacts(
          [
            ["verdict", { text: "THE CHAIN DOES NOT VERIFY", style: "red" }],
            ["where", `height ${verdict.fault.height}`],
            ["why", `${verdict.fault.reason}: ${verdict.fault.message}`],
          ],
          paint,
        ),
  );
  if (!verdict.ok) return exitCodes.failed;
  if (invocation.has("operator-signed") && !isSigned(verdict)) return exitCodes.failed;
  return verdict.recoveries.length > 0 && invocation.has("no-recovery") ? exitCodes.failed : exitCodes.ok;
}

type Verified = Extract<ChainVerdict, { ok: true }>;

/** True where an operator vouches for everything in the chain. */
function isSigned({ operators, head }: Verified): boolean {
  return operators !== undefined && operators.signed.height === head.height;
}

/** Whose signatures count, and from where on one is awaited; nothing where the cluster has no operator keys. */
function operatorFacts({ operators, sealed }: Verified): readonly (readonly [string, Cell])[] {
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

/** What no majority agreed to is told in so many words. */
function recoveryFact({ height, node, lost, timeMs }: ChainRecovery): readonly [string, Cell] {
  const when = new Date(timeMs).toISOString();
  const text = `block ${height}, ${when}: ${shortId(node)} went on alone, without a majority, and gave ${lost.length} nodes up (${lost.map(shortId).join(", ")})`;
  return ["RECOVERY", { text, style: "red" }];
}

/** `revoada chain verify`. */
export const chainVerifyCommand: CommandSpec = {
  path: ["chain", "verify"],
  summary: "verify a chain file offline, by its bytes and the cluster id alone",
  arguments: [fileArgument],
  details: [
    "Where a majority was lost and one node went on alone, that is named: such a block rests on the word of that node, and whoever",
    "held its key could have made it. Whether it was an operator's will is for you to know.",
  ],
  flags: [
    { name: "cluster", value: "ID", summary: "the id of the cluster that it must be of" },
    { name: "no-recovery", summary: "exit code 1 also where one node went on alone" },
    { name: "operator-signed", summary: "exit code 1 also where no operator vouches for all of it" },
    outputFlag,
  ],
  examples: [
    { command: "revoada chain verify cluster.chain --cluster 9f2c…", meaning: "exit code 1 where it does not verify" },
  ],
  run: verify,
};
