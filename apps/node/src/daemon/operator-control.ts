import { shiftRoles, shiftVerbs, type Cluster } from "@revoada/cluster";
import {
  FieldReader,
  InvalidValueError,
  type NodeId,
  type PlainValue,
  type TokenRecord,
  type Transition,
} from "@revoada/fabric";
import { AmbiguousIdError, UnknownIdError } from "../errors.ts";

/** One join token as `token list` shows it. */
export interface TokenLine {
  readonly id: string;
  readonly state: "good" | "expired" | "used up";
  readonly usesLeft: number;
  readonly expiresMs: number;
  readonly label?: string;
  /** The most that whoever it lets in may become; a master may be anything. */
  readonly role: "master" | "worker" | "observer";
}

/** What became of an operator's order about a node, or would. */
export interface ShiftReport {
  readonly node: NodeId;
  readonly dryRun: boolean;
  readonly transitions: readonly Transition[];
  readonly generation: number;
}

/** The fewest characters that an id may be shortened to. */
const shortestPrefix = 4;
const defaultRemoveTimeoutMs = 60_000;
const shiftTimeoutMs = 20_000;
const maxTimeoutMs = 600_000;

/** The one of `ids` that is meant by `given`: the whole id, or a beginning that no other has. */
export function resolveId(what: string, given: unknown, ids: Iterable<string>): string {
  if (typeof given !== "string" || !/^[0-9a-f]+$/.test(given) || given.length < shortestPrefix) {
    throw new InvalidValueError(what, given, `an id, or at least ${shortestPrefix} hex characters that it begins with`);
  }
  const found = [...ids].filter((id) => id.startsWith(given));
  const [only] = found;
  if (only === undefined) throw new UnknownIdError(what, given);
  if (found.length > 1) throw new AmbiguousIdError(what, given, found);
  return only;
}

function lineOf(record: TokenRecord, nowMs: number): TokenLine {
  const { tokenId, usesLeft, expiresMs, label, limitedTo } = record;
  const state = usesLeft < 1 ? "used up" : nowMs >= expiresMs ? "expired" : "good";
  const role = limitedTo ?? "master";
  return { id: tokenId, state, usesLeft, expiresMs, role, ...(label === undefined ? {} : { label }) };
}

/** Registers one method of the control socket. */
export type Answer = (method: string, work: (parameters: PlainValue, signal: AbortSignal) => unknown) => void;

/** Registers what operators change: tokens and who belongs to the cluster. `wallMs` only says how tokens look now. */
export function registerOperatorControl(answer: Answer, cluster: Cluster, wallMs: () => number): void {
  answer("token.list", async (_parameters, signal) => {
    const nowMs = wallMs();
    return { tokens: (await cluster.tokens({ signal })).map((record) => lineOf(record, nowMs)) };
  });
  answer("token.revoke", async (parameters, signal) => {
    const fields = new FieldReader(parameters ?? {}, "token");
    const given = fields.take("id");
    fields.finish();
    const revoked = resolveId(
      "token",
      given,
      (await cluster.tokens({ signal })).map(({ tokenId }) => tokenId),
    );
    await cluster.revokeToken(revoked, { signal });
    return { revoked };
  });
  answer("node.remove", async (parameters) => {
    const fields = new FieldReader(parameters ?? {}, "node");
    const given = fields.take("node");
    const timeoutMs = fields.take("timeoutMs") ?? defaultRemoveTimeoutMs;
    fields.finish();
    if (typeof timeoutMs !== "number" || !Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > maxTimeoutMs)
      throw new InvalidValueError("node.timeoutMs", timeoutMs, `a whole number from 1 to ${maxTimeoutMs}`);
    const { nodes, tombstones } = cluster.formation();
    const removed = resolveId("node", given, new Set([...nodes.keys(), ...tombstones]));
    await cluster.remove(removed as NodeId, { timeoutMs });
    return { removed };
  });
  answer("formation.propose", (parameters) => propose(cluster, parameters));
}

async function propose(cluster: Cluster, parameters: PlainValue): Promise<ShiftReport> {
  const fields = new FieldReader(parameters ?? {}, "shift");
  const verb = fields.oneOf("verb", shiftVerbs);
  const given = fields.take("node");
  const wanted = fields.take("role");
  const dryRun = fields.boolean("dryRun", false);
  fields.finish();
  const role = shiftRoles.find((known) => known === wanted);
  if (wanted !== undefined && role === undefined)
    throw new InvalidValueError("shift.role", wanted, `one of ${shiftRoles.join(", ")}`);
  const takesRole = verb === "promote" || verb === "reassign";
  if (takesRole !== (role !== undefined))
    throw new InvalidValueError("shift.role", wanted, takesRole ? `a role to ${verb} to` : `no role with ${verb}`);
  const node = resolveId("node", given, cluster.formation().nodes.keys()) as NodeId;
  const order = { verb, node, dryRun, ...(role === undefined ? {} : { role }) };
  return { node, dryRun, ...(await cluster.shift(order, { timeoutMs: shiftTimeoutMs })) };
}
