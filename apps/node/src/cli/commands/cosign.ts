import { resolve } from "node:path";
import { parseClusterId, shortId, type Attestor, type ClusterId, type Transition } from "@revoada/fabric";
import type { DroppedLine } from "../../client.ts";
import { CliFileError, CliUsageError } from "../../errors.ts";
import { readBounded, writeDurably } from "../../files.ts";
import { operatorAttestor } from "../../operator/keys.ts";
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  maxAnswerBytes,
  maxRequestBytes,
  reviewRequest,
  shiftId,
  signRequest,
  type ReviewedRequest,
  type WaitingLine,
} from "../../operator/request.ts";
import { fetchRequest, signOff, submitAnswer, type SignedOutcome } from "../../operator/sign-off.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, renderTable, type Cell } from "../output.ts";
import { clientFlags, show, withNode, type Paint } from "./common.ts";

const clusterFlag: FlagSpec = { name: "cluster", value: "ID", summary: "the id of the cluster that it must be of" };

function expectedCluster(invocation: Invocation): ClusterId | undefined {
  const given = invocation.value("cluster");
  return given === undefined ? undefined : parseClusterId(given, "--cluster");
}

function describeShift(transitions: readonly Transition[]): string {
  return transitions
    .map((step) => {
      const role = "role" in step ? [step.role] : [];
      const replica = "replica" in step && step.replica !== undefined ? [step.replica] : [];
      const place = [...role, ...replica].map((word) => ` ${word}`).join("");
      return `${step.verb} ${shortId(step.node)}${place}`;
    })
    .join(", ");
}

function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** What there is to sign, as plain data. */
function reportOf(
  { cluster, sealed, signed, operators, unsigned, waiting }: ReviewedRequest,
  dropped: readonly DroppedLine[] = [],
): unknown {
  return {
    cluster,
    signedHeight: signed.height,
    sealedHeight: sealed?.height ?? 0,
    operators,
    blocks: unsigned.map(({ height, transition, command: { reason, timeMs, approval } }) => ({
      height,
      verb: transition.verb,
      node: transition.node,
      reason,
      timeMs,
      approved: approval !== undefined,
    })),
    waiting: waiting.map(({ statement, kind, sinceMs }) => ({
      id: shiftId(statement),
      kind,
      reason: statement.reason,
      transitions: statement.transitions,
      sinceMs,
    })),
    dropped: dropped.map(({ statement, sinceMs, droppedMs, why }) => ({
      reason: statement.reason,
      transitions: statement.transitions,
      sinceMs,
      droppedMs,
      why,
    })),
  };
}

/** Said by the node alone: nobody signs for it. */
function renderDropped(dropped: readonly DroppedLine[], paint: Paint): string {
  if (dropped.length === 0) return "";
  const rows = dropped.map(({ statement, droppedMs, why }): readonly Cell[] => [
    timeOf(droppedMs),
    statement.reason,
    why,
  ]);
  return `${paint("dim", `${counted(dropped.length, "order")} dropped, because nobody can approve of it any more`)}\n${renderTable(["DROPPED", "ORDER", "WHY"], rows, paint)}`;
}

function renderPending(reviewed: ReviewedRequest, paint: Paint): string {
  const { cluster, sealed, signed, unsigned, waiting } = reviewed;
  const head = `cluster ${cluster}: sealed by voters up to ${sealed?.height ?? 0}, signed by an operator up to ${signed.height}`;
  const lines = [paint("dim", head)];
  const [first] = unsigned;
  if (first !== undefined) {
    const rows = unsigned.map(({ height, transition, command }): readonly Cell[] => [
      String(height),
      timeOf(command.timeMs),
      transition.verb === "recover" ? { text: transition.verb, style: "red" } : describeShift([transition]),
      command.reason,
    ]);
    const since = timeOf(first.command.timeMs);
    lines.push(
      paint(
        "yellow",
        `${counted(unsigned.length, "block")} from height ${first.height} on, since ${since}, not signed by an operator yet`,
      ),
      renderTable(["HEIGHT", "TIME", "SHIFT", "REASON"], rows, paint).trimEnd(),
    );
  }
  if (waiting.length > 0) {
    const rows = waiting.map(({ statement, kind, sinceMs }): readonly Cell[] => [
      shiftId(statement),
      timeOf(sinceMs),
      kind,
      describeShift(statement.transitions),
      statement.reason,
    ]);
    lines.push(
      paint("yellow", `${counted(waiting.length, "shift")} not made before an operator approves`),
      renderTable(["ID", "SINCE", "DECISION", "SHIFT", "REASON"], rows, paint).trimEnd(),
    );
  }
  if (unsigned.length === 0 && waiting.length === 0) lines.push("nothing waits for an operator");
  return `${lines.join("\n")}\n`;
}

async function write(invocation: Invocation, file: string, bytes: Uint8Array): Promise<void> {
  await writeDurably(resolve(invocation.io.workingDirectory, file), [bytes], { mode: 0o644 }).catch(
    (error: unknown) => {
      throw new CliFileError("write", file, error);
    },
  );
}

function read(invocation: Invocation, file: string, limitBytes: number): Promise<Uint8Array> {
  return readBounded(resolve(invocation.io.workingDirectory, file), limitBytes, file);
}

/** `revoada chain pending`. */
export const chainPendingCommand: CommandSpec = {
  path: ["chain", "pending"],
  summary: "show what waits for an operator's signature: blocks that failures forced, and shifts that nothing forces",
  details: [
    "The node's chain is verified first. With --out what there is to sign is written to a file too, to be looked at and signed on a",
    "machine that reaches no node: revoada chain cosign --request FILE.",
  ],
  arguments: [],
  flags: [
    { name: "out", value: "FILE", summary: "write the request for a signature to a file", completes: "file" },
    clusterFlag,
    ...clientFlags,
  ],
  examples: [
    { command: "revoada chain pending", meaning: "before chain cosign" },
    { command: "revoada chain pending --out request", meaning: "to sign it elsewhere" },
  ],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const { request, reviewed, dropped } = await fetchRequest(node, expectedCluster(invocation));
      const out = invocation.value("out");
      if (out !== undefined) await write(invocation, out, encodeRequest(request));
      const written =
        out === undefined ? "" : `written to ${out}: sign it with revoada chain cosign --request ${out}\n`;
      show(
        invocation,
        reportOf(reviewed, dropped),
        (paint) => renderPending(reviewed, paint) + renderDropped(dropped, paint) + written,
      );
      return exitCodes.ok;
    }),
};

/** The shifts that are to be signed for. Throws `CLI_INVALID_VALUE` for an id that none has. */
function chosen(invocation: Invocation, { waiting }: ReviewedRequest): readonly WaitingLine[] {
  if (invocation.has("head-only")) return [];
  const ids = invocation.values("shift");
  for (const id of ids)
    if (!waiting.some(({ statement }) => shiftId(statement) === id))
      throw new CliUsageError("CLI_INVALID_VALUE", `--shift: no shift ${JSON.stringify(id)} waits`);
  return ids.length === 0 ? waiting : waiting.filter(({ statement }) => ids.includes(shiftId(statement)));
}

function showOutcomes(invocation: Invocation, outcomes: readonly SignedOutcome[]): number {
  show(invocation, { outcomes }, (paint) => {
    if (outcomes.length === 0) return "nothing waits for an operator\n";
    const lines = outcomes.map(({ what, committed, generation, why }) => {
      const after = generation === undefined ? "" : `; the formation is at generation ${generation}`;
      return committed ? `signed: ${what}${after}` : `${paint("red", "not committed")}: ${what}: ${why ?? ""}`;
    });
    return `${lines.join("\n")}\n`;
  });
  return outcomes.every(({ committed }) => committed) ? exitCodes.ok : exitCodes.failed;
}

async function signFile(invocation: Invocation, attestor: Attestor, file: string, out: string): Promise<number> {
  const request = decodeRequest(await read(invocation, file, maxRequestBytes), file);
  const reviewed = reviewRequest(request, expectedCluster(invocation));
  const answer = signRequest(reviewed, attestor, chosen(invocation, reviewed));
  await write(invocation, out, encodeAnswer(answer));
  const signed = { head: answer.cosignature !== undefined, shifts: answer.approvals.length, file: out };
  show(
    invocation,
    { ...signed, request: reportOf(reviewed) },
    (paint) =>
      `${renderPending(reviewed, paint)}signed to ${out}: bring it to a node with revoada chain cosign --in ${out}\n`,
  );
  return exitCodes.ok;
}

async function cosign(invocation: Invocation): Promise<number> {
  const [key, request, out, given] = ["key", "request", "out", "in"].map((flag) => invocation.value(flag));
  if (given !== undefined) {
    if (key !== undefined || request !== undefined || out !== undefined)
      throw new CliUsageError(
        "CLI_INVALID_VALUE",
        "--in brings what was signed elsewhere: no key, request or out with it",
      );
    const answer = decodeAnswer(await read(invocation, given, maxAnswerBytes), given);
    return withNode(invocation, async (node) => showOutcomes(invocation, await submitAnswer(node, answer)));
  }
  if (key === undefined)
    throw new CliUsageError(
      "CLI_MISSING_FLAG",
      "chain cosign needs --key FILE, or --in FILE with what was signed elsewhere",
    );
  if ((request === undefined) !== (out === undefined))
    throw new CliUsageError("CLI_MISSING_FLAG", "--request FILE and --out FILE go together");
  const attestor = await operatorAttestor(resolve(invocation.io.workingDirectory, key));
  if (request !== undefined && out !== undefined) return signFile(invocation, attestor, request, out);
  return withNode(invocation, async (node) => {
    const { reviewed } = await fetchRequest(node, expectedCluster(invocation));
    return showOutcomes(invocation, await signOff(node, attestor, reviewed, chosen(invocation, reviewed)));
  });
}

/** `revoada chain cosign`. */
export const chainCosignCommand: CommandSpec = {
  path: ["chain", "cosign"],
  summary: "sign, as an operator, for the chain up to its sealed head and for the shifts that wait",
  details: [
    "The chain is verified first, and only what it holds is signed. The key stays where it is: with --request and --out no node is",
    "asked at all, and --in brings the signatures to one. Each approval counts for one head of the chain: where another shift came",
    "first, it is signed again. Look at revoada chain pending before.",
  ],
  arguments: [],
  flags: [
    { name: "key", value: "FILE", summary: "the operator's key", completes: "file" },
    { name: "shift", value: "ID", summary: "approve of this shift only; may be given several times", repeatable: true },
    { name: "head-only", summary: "approve of no shift" },
    { name: "request", value: "FILE", summary: "sign what chain pending --out wrote", completes: "file" },
    { name: "out", value: "FILE", summary: "with --request: where the signatures go", completes: "file" },
    { name: "in", value: "FILE", summary: "bring signatures that were made elsewhere", completes: "file" },
    clusterFlag,
    ...clientFlags,
  ],
  examples: [
    { command: "revoada chain cosign --key ~/operator.key", meaning: "the head, and all that waits" },
    {
      command: "revoada chain cosign --key operator.key --request request --out answer --cluster 9f2c…",
      meaning: "on a machine that reaches no node",
    },
    { command: "revoada chain cosign --in answer", meaning: "on a node, with what was signed there" },
  ],
  run: cosign,
};
