import type { Configuration, LogEntry, ReplicaId } from "@revoada/fabric";
import { decodeConfiguration } from "../../src/core/configuration-codec.ts";
import type { Effect, Message } from "../../src/core/types.ts";
import type { TestNode, TraceItem } from "../support/cluster.ts";

/** Nodes by their numbers; another life of a store is marked. */
function member({ id, storeId }: ReplicaId): string {
  const life = Number.parseInt(storeId[0] as string, 16);
  return `${Number.parseInt(id, 16)}${"'".repeat(life)}`;
}

export function configurationText({ voters, outgoing, learners, generation }: Configuration): string {
  const list = (members: readonly ReplicaId[]): string => `(${members.map(member).join(" ")})`;
  const joint = outgoing === undefined ? "" : `&&${list(outgoing)}`;
  const learning = learners.length === 0 ? "" : ` learners=${list(learners)}`;
  return `voters=${list(voters)}${joint}${learning} generation ${generation}`;
}

export function entryText({ index, term, kind, payload }: LogEntry): string {
  if (kind === "noop") return `${index}/${term} noop`;
  if (kind === "configuration") return `${index}/${term} ${configurationText(decodeConfiguration(payload))}`;
  return `${index}/${term} "${new TextDecoder().decode(payload)}"`;
}

function entriesText(entries: readonly LogEntry[]): string {
  return entries.length === 0 ? "" : ` [${entries.map(entryText).join(", ")}]`;
}

function repairText(repair: string): string {
  return repair === "sound" ? "" : `, log ${repair}`;
}

function bodyText(message: Message): string {
  switch (message.type) {
    case "vote-request":
      return `${message.pre ? "pre-vote" : "vote"} request, log ${message.lastIndex}/${message.lastTerm}${message.transfer ? ", transfer" : ""}`;
    case "vote-response":
      return `${message.pre ? "pre-vote" : "vote"} ${message.granted ? "granted" : "refused"}`;
    case "append":
      return `append after ${message.prevIndex}/${message.prevTerm}, commit ${message.commit}${entriesText(message.entries)}`;
    case "append-response":
      return message.success
        ? `appended up to ${message.index}${repairText(message.repair)}`
        : `append refused after ${message.index}, may agree at ${message.hintIndex}/${message.hintTerm}${repairText(message.repair)}`;
    case "heartbeat":
      return `heartbeat of round ${message.round}, commit ${message.commit}${message.repairIndex > 0 ? `, refilled at ${message.repairIndex}` : ""}`;
    case "heartbeat-response":
      return `heartbeat answered, round ${message.round}${repairText(message.repair)}`;
    case "timeout-now":
      return "campaign now";
  }
}

export function messageText(message: Message): string {
  const [from, to] = [
    member({ id: message.from, storeId: message.fromStore }),
    member({ id: message.to, storeId: message.toStore }),
  ];
  return `${from}->${to} term ${message.term}: ${bodyText(message)}`;
}

function writeText(effect: Effect & { readonly type: "persist" }): string {
  const { seq, hardState, truncateFrom, entries } = effect;
  const vote = hardState?.vote === undefined ? "" : `, vote ${Number.parseInt(hardState.vote, 16)}`;
  const state = hardState === undefined ? "" : ` term ${hardState.term}${vote}, commit ${hardState.commitIndex}`;
  const cut = truncateFrom === undefined ? "" : ` without ${truncateFrom} and above`;
  const nothing = state === "" && cut === "" && entries.length === 0 ? " nothing, waiting for what is before it" : "";
  return `writes #${seq}:${state}${cut}${entriesText(entries)}${nothing}`;
}

function transferText(effect: Effect & { readonly type: `snapshot-${string}` | "read-log" }): string {
  switch (effect.type) {
    case "read-log":
      return `reads its log from ${effect.from} up to ${effect.upTo} for ${Number.parseInt(effect.to, 16)}`;
    case "snapshot-save":
      return `takes a snapshot at ${effect.index}`;
    case "snapshot-send":
      return `streams a snapshot to ${member(effect.to)}`;
    case "snapshot-cancel":
      return `ends the snapshot stream to ${Number.parseInt(effect.to, 16)}`;
    case "snapshot-install":
      return `installs a snapshot at ${effect.base.index}/${effect.base.term}`;
  }
}

/** Role, term and leader of a node. */
export function roleText({ core }: TestNode): string {
  const leader = core.leader === undefined || core.isLeader ? "" : ` of ${Number.parseInt(core.leader, 16)}`;
  return `${core.role}${leader} in term ${core.term}`;
}

function effectText(node: TestNode, effect: Effect): string {
  switch (effect.type) {
    case "persist":
      return writeText(effect);
    case "send":
      return `sends ${messageText(effect.message)}`;
    case "apply":
      return `applies ${effect.from}..${effect.to}${effect.entries === undefined ? " from the disk" : ""}`;
    case "proposed":
      return `appends request ${effect.id} at ${effect.firstIndex}..${effect.firstIndex + effect.count - 1}`;
    case "reject":
      return `refuses request ${effect.id}: ${effect.reason}`;
    case "committed":
      return `commits up to ${effect.index}`;
    case "read-ready":
      return `answers reads ${effect.ids.join(" ")} at ${effect.index}`;
    case "change-done":
      return `tells that change ${effect.id} is done`;
    case "transfer-done":
      return `tells that transfer ${effect.id} ${effect.success ? "is done" : "failed"}`;
    case "role-changed":
      return `is ${roleText(node)}`;
    case "rest-asked":
      return `would rest with ${effect.peers.map(member).join(" ")}`;
    default:
      return transferText(effect);
  }
}

/** One line of a trace. */
export function traceText(node: TestNode, item: TraceItem): string {
  switch (item.kind) {
    case "effect":
      return effectText(node, item.effect);
    case "durable":
      return `has #${item.seq} on its disk`;
    case "released":
      return `sends ${messageText(item.message)}`;
  }
}
