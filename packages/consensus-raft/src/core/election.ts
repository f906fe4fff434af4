import type { ReplicaId } from "@revoada/fabric";
import { isVoter, replicasOf, voteResult } from "./configuration.ts";
import { becomeLeader } from "./leading.ts";
import { becomeFollower, restartElectionTimer } from "./roles.ts";
import type { CoreState } from "./state.ts";
import type { Message } from "./types.ts";

/** True where an election could be won and its vote kept. */
export function mayCampaign(core: CoreState): boolean {
  if (core.isLeader || !core.mayStand || core.storage !== "ok" || core.installing !== undefined) return false;
  // A disk that hangs could not keep the promise that a vote is.
  const oldest = core.log.oldestWriteMs;
  return oldest === undefined || core.nowMs - oldest < core.limits.storageStallMs;
}

/** A pre-vote (dissertation §9.6) asks whether an election could be won, and disturbs nobody where it could not. */
export function preCampaign(core: CoreState): void {
  if (!mayCampaign(core)) return restartElectionTimer(core);
  core.role = "pre-candidate";
  core.leader = undefined;
  core.votes = new Map([[core.self.id, { storeId: core.self.storeId, granted: true }]]);
  restartElectionTimer(core);
  core.effect({ type: "role-changed" });
  if (tally(core) === "won") return campaign(core, false);
  requestVotes(core, true, false);
}

/** Starts an election: a new term and the own vote, in one record. */
export function campaign(core: CoreState, transfer: boolean): void {
  if (!mayCampaign(core)) return restartElectionTimer(core);
  core.role = "candidate";
  core.leader = undefined;
  core.setTerm(core.term + 1, core.self.id);
  core.votes = new Map();
  core.ownVoteSeq = core.nextSeq;
  restartElectionTimer(core);
  core.effect({ type: "role-changed" });
  requestVotes(core, false, transfer);
}

function requestVotes(core: CoreState, pre: boolean, transfer: boolean): void {
  const configuration = core.configuration;
  if (configuration === undefined) return;
  const lastIndex = core.log.lastIndex;
  const lastTerm = core.log.lastTerm;
  const term = pre ? core.term + 1 : core.term;
  for (const [id, storeId] of replicasOf(configuration)) {
    if (id === core.self.id || !isVoter(configuration, id, storeId)) continue;
    core.sendAfterTerm({ id, storeId }, { type: "vote-request", pre, transfer, lastIndex, lastTerm }, term);
  }
}

function tally(core: CoreState): "won" | "lost" | "pending" {
  const configuration = core.configuration;
  if (configuration === undefined) return "lost";
  return voteResult(configuration, (voter) => {
    const vote = core.votes.get(voter.id);
    return vote?.storeId === voter.storeId ? vote.granted : undefined;
  });
}

/** The own vote counts once it is durable, in a cluster of one too. */
export function ownVoteDurable(core: CoreState, seq: number): void {
  if (core.role !== "candidate" || seq < core.ownVoteSeq || core.votes.has(core.self.id)) return;
  core.votes.set(core.self.id, { storeId: core.self.storeId, granted: true });
  decide(core);
}

function decide(core: CoreState): void {
  const result = tally(core);
  if (result === "pending") return;
  if (result === "lost") return becomeFollower(core, core.term, undefined);
  if (core.role === "pre-candidate") return campaign(core, false);
  becomeLeader(core);
}

/** Answers a request for a vote of the current term, or a pre-vote of a later one (§5.2, §5.4.1). */
export function handleVoteRequest(core: CoreState, message: Message & { readonly type: "vote-request" }): void {
  const { pre } = message;
  const candidate: ReplicaId = { id: message.from, storeId: message.fromStore };
  // A corrupt log may have lost a vote, and a failing disk cannot keep one: silence is the only safe answer.
  if (core.storage !== "ok") return;
  const free = core.vote === candidate.id || (core.vote === undefined && core.leader === undefined);
  const granted = (pre ? message.term > core.term : free) && core.log.isUpToDate(message.lastIndex, message.lastTerm);
  if (pre) {
    // A grant names the term asked for; a refusal names the own one, so that a candidate that lags can catch up (etcd#8243).
    const body = { type: "vote-response", pre: true, granted } as const;
    return core.sendAfterTerm(candidate, body, granted ? message.term : core.term);
  }
  if (granted) {
    core.setTerm(core.term, candidate.id);
    restartElectionTimer(core);
  }
  core.sendAfterTerm(candidate, { type: "vote-response", pre: false, granted });
}

export function handleVoteResponse(core: CoreState, message: Message & { readonly type: "vote-response" }): void {
  if (core.role !== (message.pre ? "pre-candidate" : "candidate")) return;
  if (message.pre && message.granted && message.term !== core.term + 1) return;
  if (core.votes.has(message.from)) return;
  core.votes.set(message.from, { storeId: message.fromStore, granted: message.granted });
  decide(core);
}
