import { formatResourceRef, isFabricError, type Lease, type LeaseId, type ResourceRef } from "@revoada/fabric";
import type { NodeClient } from "../../client.ts";
import { CliUsageError } from "../../errors.ts";
import type { ArgumentSpec, CommandSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { renderTable, type Cell } from "../output.ts";
import { clientFlags, outputOf, parseDuration, parseLease, pause, show, withNode } from "./common.ts";

const leaseArgument: ArgumentSpec = { name: "LEASE", required: true };
/** A lease is renewed this often in its time: two renewals may be lost. */
const renewalsPerLease = 3;
/** How soon a renewal that failed is tried again. */
const retryMs = 500;
/** What may be over by the next attempt, beside all that says so itself. */
const passing = ["NODE_UNREACHABLE", "CONTROL_CLOSED", "CONTROL_TIMEOUT"];

function leaseOf({ arguments: [text = ""] }: Invocation): LeaseId {
  return parseLease(text, "LEASE");
}

function seconds(milliseconds: number): string {
  return `${Number((milliseconds / 1000).toFixed(1))} s`;
}

function tokenOf({ token }: Lease): string {
  return `${token.term}/${token.index}`;
}

/** `revoada lease grant`. */
export const leaseGrantCommand: CommandSpec = {
  path: ["lease", "grant"],
  summary: "grant a lease: what is applied with it goes when it ends",
  details: [
    "A lease ends when it is revoked, or not renewed in its time. It may last longer than that, above all where the leader changes, and",
    "never shorter. With --duty it also holds a name that nobody else can hold meanwhile, under a token for --fence. The duties of",
    "duty list are names of that kind: whoever takes one by hand keeps the masters from doing it.",
  ],
  arguments: [{ name: "TTL", required: true }],
  flags: [
    { name: "duty", value: "NAME", summary: "a name that the lease alone holds, such as reports" },
    { name: "holder", value: "TEXT", summary: "what lease list shows it as, at most 128 characters" },
    ...clientFlags,
  ],
  examples: [
    { command: "revoada lease grant 60s", meaning: "from 1s to 30d" },
    { command: "revoada lease grant 30s --duty reports --holder $HOSTNAME", meaning: "exit code 6 where it is held" },
  ],
  run: (invocation) => {
    const [text = ""] = invocation.arguments;
    const ttlMs = parseDuration(text, "TTL");
    const [duty, holder] = [invocation.value("duty"), invocation.value("holder")];
    const named = { ...(duty === undefined ? {} : { duty }), ...(holder === undefined ? {} : { holder }) };
    return withNode(invocation, async (node) => {
      const lease = await node.face.leases.grant({ ttlMs, ...named }, { signal: invocation.io.signal });
      show(invocation, lease, () => {
        const held = duty === undefined ? "" : `, holding ${duty} under ${tokenOf(lease)}`;
        return `lease ${lease.id} granted for ${seconds(lease.ttlMs)}${held}\n`;
      });
      return exitCodes.ok;
    });
  },
};

/** `revoada lease revoke`. */
export const leaseRevokeCommand: CommandSpec = {
  path: ["lease", "revoke"],
  summary: "end a lease, and delete what was applied with it in one revision",
  arguments: [leaseArgument],
  flags: clientFlags,
  examples: [{ command: "revoada lease revoke 1042", meaning: "exit code 4 where it has ended" }],
  run: (invocation) => {
    const lease = leaseOf(invocation);
    return withNode(invocation, async (node) => {
      const { revision } = await node.face.leases.revoke(lease, { signal: invocation.io.signal });
      show(invocation, { lease, revision }, () => `lease ${lease} revoked at revision ${revision}\n`);
      return exitCodes.ok;
    });
  },
};

function tellRenewal(invocation: Invocation, lease: LeaseId, ttlMs: number): void {
  const line =
    outputOf(invocation) === "json" ? JSON.stringify({ lease, ttlMs }) : `lease ${lease} renewed for ${seconds(ttlMs)}`;
  invocation.io.stdout.write(`${line}\n`);
}

/** Each renewal over a connection of its own: the daemon may be started anew between two of them. */
async function renew(invocation: Invocation, lease: LeaseId): Promise<number> {
  const { signal } = invocation.io;
  const { ttlMs } = await withNode(invocation, (node) => node.face.leases.keepAlive(lease, { signal }));
  tellRenewal(invocation, lease, ttlMs);
  return ttlMs;
}

/** Renews until the user interrupts. Rejects once the lease has ended, or has not been renewed for as long as it lasts. */
async function keepAlive(invocation: Invocation, lease: LeaseId): Promise<void> {
  const { signal, stderr } = invocation.io;
  let sentMs = performance.now();
  let ttlMs = await renew(invocation, lease);
  let goodUntilMs = sentMs + ttlMs;
  await pause(ttlMs / renewalsPerLease, signal);
  for (;;) {
    sentMs = performance.now();
    try {
      ttlMs = await renew(invocation, lease);
      goodUntilMs = sentMs + ttlMs;
    } catch (error) {
      const mayPass = isFabricError(error) && (error.retryable || passing.includes(error.code));
      if (!mayPass || performance.now() + retryMs >= goodUntilMs) throw error;
      stderr.write(`lease ${lease} not renewed, trying again: ${error.code}: ${error.message}\n`);
      await pause(retryMs, signal);
      continue;
    }
    await pause(ttlMs / renewalsPerLease, signal);
  }
}

/** `revoada lease keep-alive`. */
export const leaseKeepAliveCommand: CommandSpec = {
  path: ["lease", "keep-alive"],
  summary: "renew a lease again and again, until Ctrl-C",
  details: [
    "Renewed three times in its time, through whichever node leads; a renewal is no entry of the log. A renewal that fails for",
    "want of a quorum or of a daemon is tried again for as long as the lease lasts.",
  ],
  arguments: [leaseArgument],
  flags: [{ name: "once", summary: "renew it once" }, ...clientFlags],
  examples: [
    { command: "revoada lease keep-alive 1042", meaning: "exit code 4 once it has ended" },
    { command: "revoada lease keep-alive 1042 --once", meaning: "for callers with a timer of their own" },
  ],
  run: async (invocation) => {
    const lease = leaseOf(invocation);
    if (outputOf(invocation) === "yaml")
      throw new CliUsageError("CLI_INVALID_VALUE", "--output: renewals are told as lines, expected json");
    if (invocation.has("once")) {
      await renew(invocation, lease);
      return exitCodes.ok;
    }
    try {
      await keepAlive(invocation, lease);
    } catch (error) {
      if (!invocation.io.signal.aborted) throw error;
    }
    return exitCodes.ok;
  },
};

async function resourcesOf(node: NodeClient, lease: LeaseId, signal: AbortSignal): Promise<readonly ResourceRef[]> {
  const all: ResourceRef[] = [];
  let after: ResourceRef | undefined;
  do {
    const page = await node.face.leases.resources(lease, { signal, ...(after === undefined ? {} : { after }) });
    all.push(...page.resources);
    after = page.next;
  } while (after !== undefined);
  return all;
}

/** `revoada lease timetolive`. */
export const leaseTimeToLiveCommand: CommandSpec = {
  path: ["lease", "timetolive"],
  summary: "show how long a lease has left, as the leader counts",
  arguments: [leaseArgument],
  flags: [{ name: "keys", summary: "list what was applied with it" }, ...clientFlags],
  examples: [
    { command: "revoada lease timetolive 1042", meaning: "exit code 4 where it has ended" },
    { command: "revoada lease timetolive 1042 --keys", meaning: "with the resources that go with it" },
  ],
  run: (invocation) => {
    const id = leaseOf(invocation);
    const { signal } = invocation.io;
    return withNode(invocation, async (node) => {
      const status = await node.face.leases.timeToLive(id, { signal });
      const resources = invocation.has("keys") ? await resourcesOf(node, id, signal) : undefined;
      show(invocation, { ...status, ...(resources === undefined ? {} : { resources }) }, () => {
        const { ttlMs, remainingMs, keys, duty } = status;
        const held = duty === undefined ? "" : `, holding ${duty} under ${tokenOf(status)}`;
        const head = `lease ${id} of ${seconds(ttlMs)}, ${seconds(remainingMs)} left, keys: ${keys}${held}\n`;
        return [head, ...(resources ?? []).map((ref) => `  ${formatResourceRef(ref)}\n`)].join("");
      });
      return exitCodes.ok;
    });
  },
};

function rowOf(lease: Lease): readonly Cell[] {
  const { id, ttlMs, keys, duty, holder } = lease;
  return [String(id), seconds(ttlMs), String(keys), duty ?? "-", tokenOf(lease), holder ?? "-"];
}

/** `revoada lease list`. */
export const leaseListCommand: CommandSpec = {
  path: ["lease", "list"],
  summary: "show all leases, those of duties among them",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada lease list", meaning: "ids, and who says to hold them" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const leases: Lease[] = [];
      let after: LeaseId | undefined;
      do {
        const from = after === undefined ? {} : { after };
        const page = await node.face.leases.list({ signal: invocation.io.signal, ...from });
        leases.push(...page.leases);
        after = page.next;
      } while (after !== undefined);
      show(invocation, { leases }, (paint) =>
        leases.length === 0
          ? "no leases: revoada lease grant makes one\n"
          : renderTable(["LEASE", "TTL", "KEYS", "DUTY", "TOKEN", "HOLDER"], leases.map(rowOf), paint),
      );
      return exitCodes.ok;
    }),
};
