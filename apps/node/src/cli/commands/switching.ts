import { shortId, type Attestor } from "@revoada/fabric";
import type { NodeClient } from "../../client.ts";
import type { ProgressReport, ShiftLine, SwitchReport } from "../../daemon/switch-control.ts";
import { SwitchUndoneError, SwitchUnfinishedError } from "../../errors.ts";
import type { FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { orderSigned } from "../../operator/sign-off.ts";
import { keyFlag, signerOf } from "./operator-key.ts";
import { clientFlags, durationFlag, outputOf, pause, show, withNode } from "./common.ts";

/** How often is asked how far it is, and how much longer than the switch may take. */
const pollMs = 200;
/** What the leader makes a longer reason as long as. */
const maxReasonLength = 160;
/** A new leader gives a shape as long again. */
const patience = 2;

/** What both commands that change a declaration take. */
export const switchFlags: readonly FlagSpec[] = [
  {
    name: "within",
    value: "DURATION",
    summary: "how long the new shape has to stand before it is taken back (default: 60s)",
  },
  { name: "dry-run", summary: "check it, and commit nothing" },
  { name: "no-wait", summary: "do not wait until the new shape stands" },
  { ...keyFlag, summary: "an operator's key in force, to sign for the switch and all of its steps at once" },
  ...clientFlags,
];

/** Asks for another declaration and, unless told, tells what happens until it stands. */
export async function runSwitch(
  invocation: Invocation,
  wanted: Pick<Parameters<NodeClient["switchTo"]>[0], "topology" | "minNodes" | "strategy">,
): Promise<number> {
  const withinMs = durationFlag(invocation, "within");
  const dryRun = invocation.has("dry-run");
  const signer = await signerOf(invocation);
  return withNode(invocation, async (client) => {
    const asked = { ...wanted, dryRun, ...(withinMs === undefined ? {} : { withinMs }) };
    const report = await (signer === undefined || dryRun
      ? client.switchTo(asked)
      : switchSigned(client, signer, asked));
    const isPerson = outputOf(invocation) === undefined;
    if (isPerson) invocation.io.stdout.write(renderReport(report));
    if (dryRun || !report.changes || invocation.has("no-wait")) {
      if (!isPerson) show(invocation, report, () => "");
      return exitCodes.ok;
    }
    const shifts = await untilOver(invocation, client, report, (shift) => {
      if (isPerson) invocation.io.stdout.write(renderShift(shift));
    });
    if (!isPerson) show(invocation, { ...report, shifts }, () => "");
    const end = shifts.findLast(({ verb }) => verb === "confirm" || verb === "revert");
    if (end?.verb === "revert") throw new SwitchUndoneError(end.reason);
    return exitCodes.ok;
  });
}

/** What waits is told by what a dry run would commit. */
async function switchSigned(
  client: NodeClient,
  signer: Attestor,
  asked: Parameters<NodeClient["switchTo"]>[0],
): Promise<SwitchReport> {
  const planned = await client.switchTo({ ...asked, dryRun: true });
  return orderSigned(
    client,
    signer,
    () => client.switchTo(asked),
    ({ transitions, reason }) =>
      reason === `an operator: from ${planned.from} to ${planned.to}`.slice(0, maxReasonLength) &&
      transitions.every((step) => step.verb === "declare" && step.withinMs === planned.withinMs),
    (generation) => ({ ...planned, dryRun: false, generation }),
  );
}

function renderReport({ from, to, dryRun, withinMs, changes, generation }: SwitchReport): string {
  if (!changes) return `the cluster is ${from} already, at generation ${generation}\n`;
  if (dryRun) return `would switch from ${from} to ${to}; the formation stays at generation ${generation}\n`;
  return `switching from ${from} to ${to}, which has ${withinMs / 1000} s to stand\n`;
}

function renderShift({ generation, verb, node, role, replica, reason }: ShiftLine): string {
  const place = [role, replica].filter((part) => part !== undefined).join(", ");
  const what = verb === "declare" || verb === "confirm" || verb === "revert" ? verb : `${verb} ${shortId(node)}`;
  return `  ${String(generation).padStart(4)}  ${place === "" ? what : `${what} ${place}`}: ${reason}\n`;
}

/** Resolves with every shift from the order on once the switch is over. Rejects with `CLUSTER_SWITCH_UNFINISHED` after its bound. */
async function untilOver(
  { io }: Invocation,
  client: NodeClient,
  { generation, withinMs }: SwitchReport,
  onShift: (shift: ShiftLine) => void,
): Promise<readonly ShiftLine[]> {
  const deadlineMs = performance.now() + patience * withinMs;
  const shifts: ShiftLine[] = [];
  let told = generation - 1;
  for (;;) {
    const progress: ProgressReport = await client.progress(told);
    for (const shift of progress.shifts) onShift(shift);
    shifts.push(...progress.shifts);
    told = Math.max(told, progress.generation);
    if (progress.switching === undefined && progress.generation >= generation) return shifts;
    if (performance.now() > deadlineMs)
      throw new SwitchUnfinishedError(patience * withinMs, progress.switching?.missing);
    await pause(pollMs, io.signal);
  }
}
