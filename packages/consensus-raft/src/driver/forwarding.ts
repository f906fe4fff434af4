import type { NodeId, Protocol } from "@revoada/fabric";
import { isFabricError, shortId } from "@revoada/fabric";
import { RaftBadCommandError, RaftOutcomeUnknownError } from "../errors.ts";
import {
  answerAheadMs,
  decodeForward,
  decodeOutcomes,
  decodeReadIndex,
  encodeForward,
  encodeOutcomes,
  encodeReadIndex,
  type ForwardedOutcome,
} from "../wire/forward.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Proposals } from "./proposals.ts";
import type { Reads } from "./reads.ts";

/** Asks the leader, at most once. */
export const forwardProtocol: Protocol = { name: "/revoada/raft-forward/1", channel: "consensus" };

type AnyOptions<Command, Result> = Pick<ResolvedOptions<Command, Result>, "groupId" | "limits" | "mayPropose"> & {
  readonly codec: { encodeResult(result: Result): Uint8Array; decodeCommand(bytes: Uint8Array): Command };
};

/** Forwards commands to `to` and resolves with what became of each. */
export async function askForwarded(
  options: Pick<ResolvedOptions<never, never>, "transport" | "groupId">,
  to: NodeId,
  commands: readonly Uint8Array[],
  timeoutMs: number,
): Promise<readonly ForwardedOutcome[]> {
  const { transport, groupId } = options;
  const payload = encodeForward(groupId, { type: "propose", timeoutMs, commands });
  const answer = await transport.request(to, forwardProtocol, payload, { timeoutMs: timeoutMs + answerAheadMs });
  try {
    return decodeOutcomes(answer, groupId, commands.length);
  } catch (error) {
    // The leader acted, whatever it then said.
    throw new RaftOutcomeUnknownError("the leader's answer could not be read", error);
  }
}

/** Asks `to` for an index that a linearizable read must have seen. */
export async function askReadIndex(
  options: Pick<ResolvedOptions<never, never>, "transport" | "groupId">,
  to: NodeId,
  timeoutMs: number,
): Promise<number> {
  const { transport, groupId } = options;
  const answer = await transport.request(to, forwardProtocol, encodeForward(groupId, { type: "read", timeoutMs }), {
    timeoutMs,
  });
  return decodeReadIndex(answer, groupId);
}

/** Answers another node's request, where this one leads. */
export async function answerForward<Command, Result>(
  options: AnyOptions<Command, Result>,
  replica: { readonly proposals: Proposals<Result>; readonly reads: Reads },
  payload: Uint8Array,
  peer: NodeId,
): Promise<Uint8Array> {
  const { groupId, limits } = options;
  const request = decodeForward(payload, groupId);
  const timeoutMs = Math.max(1, Math.min(request.timeoutMs, limits.proposalTimeoutMs * 10));
  if (request.type === "read")
    return encodeReadIndex(groupId, await replica.reads.wait({ timeoutMs, indexOnly: true }));
  return encodeOutcomes(groupId, await proposeAll(options, replica.proposals, { ...request, timeoutMs, peer }));
}

function proposeAll<Command, Result>(
  options: AnyOptions<Command, Result>,
  proposals: Proposals<Result>,
  asked: { readonly commands: readonly Uint8Array[]; readonly timeoutMs: number; readonly peer: NodeId },
): Promise<readonly ForwardedOutcome[]> {
  const { commands, timeoutMs, peer } = asked;
  return new Promise((resolve) => {
    const outcomes: ForwardedOutcome[] = Array.from({ length: commands.length });
    let open = commands.length;
    if (open === 0) resolve([]);
    const settle = (at: number, outcome: ForwardedOutcome): void => {
      outcomes[at] = outcome;
      open -= 1;
      if (open === 0) resolve(outcomes);
    };
    commands.forEach((command, at) => {
      const refuse = (error: unknown): void => settle(at, refusalOf(error));
      const bad = whyBad(options, command, peer);
      if (bad !== undefined) return refuse(bad);
      proposals.submit(
        command,
        { timeoutMs, localOnly: "at once" },
        ({ index, term, result }) => settle(at, successOf(options, index, term, result)),
        refuse,
      );
    });
  });
}

function whyBad<Command>(
  {
    codec,
    mayPropose,
  }: Pick<AnyOptions<Command, unknown>, "mayPropose"> & {
    readonly codec: { decodeCommand(bytes: Uint8Array): Command };
  },
  bytes: Uint8Array,
  peer: NodeId,
): Error | undefined {
  let command: Command;
  try {
    // What no codec can read would stop every replica once it is in the log.
    command = codec.decodeCommand(bytes);
  } catch (error) {
    return new RaftBadCommandError(describe(error), error);
  }
  return mayPropose?.(peer, command) === false
    ? new RaftBadCommandError(`${shortId(peer)} may not propose it`)
    : undefined;
}

/** It took effect, whatever can be told of it. */
function successOf<Result>(
  options: { readonly codec: { encodeResult(result: Result): Uint8Array } },
  index: number,
  term: number,
  result: Result,
): ForwardedOutcome {
  try {
    return { ok: true, index, term, result: options.codec.encodeResult(result) };
  } catch (error) {
    return refusalOf(new RaftOutcomeUnknownError(`its result could not be encoded: ${describe(error)}`));
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function refusalOf(error: unknown): ForwardedOutcome {
  if (isFabricError(error)) return { ok: false, code: error.code, message: error.message, retryable: error.retryable };
  return { ok: false, code: "RAFT_OUTCOME_UNKNOWN", message: String(error), retryable: false };
}
