import type { ChainFault, ChainHead, ClusterId, Hash, NodeId, NodeRecord, TransitionVerb } from "@revoada/fabric";
import type { CanonicalValue } from "./canonical.ts";
import { encodeCanonical } from "./canonical.ts";
import { decodingAt } from "./faults.ts";
import { domainOf, FieldList, openRecord } from "./fields.ts";
import { idBytes } from "./hash.ts";
import type { WayStep } from "./id-tree.ts";
import {
  maxCommandBytes,
  maxGenesisBytes,
  maxHeaderBytes,
  maxNodeRecordBytes,
  maxProofBytes,
  maxProofHops,
  maxSealBytes,
  maxStateBytes,
} from "./limits.ts";

/** A block that is believed because voters who were in force sealed it; whoever votes in its state seals what follows. */
export interface ProofHop {
  readonly header: Uint8Array;
  readonly state: Uint8Array;
  readonly seal: Uint8Array;
}

/** A block by its header, and the hashes beside its way up to the history of the last hop. */
export interface ProvenHeader {
  readonly header: Uint8Array;
  readonly path: readonly Hash[];
}

/** The way of an id through one of the trees of a state; absent where the tree is empty. */
export type ProvenWay =
  | { readonly id: Uint8Array; readonly value: Uint8Array; readonly steps: readonly WayStep[] }
  | undefined;

/**
 * A proof of what one node was at one moment. Between the end of one command and the first block of the next there is nothing: the state
 * after the one holds until the time of the other.
 */
export interface ProofParts {
  readonly genesis: Uint8Array;
  readonly node: NodeId;
  readonly atMs: number;
  readonly hops: readonly ProofHop[];
  /** The last block of the last command that is not later than that moment; absent where that is genesis. */
  readonly last: (ProvenHeader & { readonly state: Uint8Array }) | undefined;
  /** The command after it, which is later: its first block, and its last one with the state. Absent where none is sealed. */
  readonly next:
    | { readonly first: ProvenHeader; readonly end: ProvenHeader & { readonly state: Uint8Array } }
    | undefined;
  /** The node's way through the nodes of the state, and for one that is absent through the tombstones. */
  readonly way: ProvenWay;
  readonly tombstone: ProvenWay;
  /** The block of the node's last shift before that moment, with the command: who decided it, and why. */
  readonly shift: (ProvenHeader & { readonly command: Uint8Array }) | undefined;
}

function headerItem({ header, path }: ProvenHeader): readonly CanonicalValue[] {
  return [header, path.map((hash) => idBytes(hash, 32))];
}

function wayItem(way: ProvenWay): CanonicalValue {
  return way === undefined ? null : [way.id, way.value, way.steps.map(({ bit, beside }) => [bit, beside])];
}

export function encodeProof(parts: ProofParts): Uint8Array {
  const { last, next, shift } = parts;
  return encodeCanonical([
    domainOf("proof"),
    parts.genesis,
    idBytes(parts.node, 32),
    parts.atMs,
    parts.hops.map(({ header, state, seal }) => [header, state, seal]),
    last === undefined ? null : [...headerItem(last), last.state],
    next === undefined ? null : [...headerItem(next.first), ...headerItem(next.end), next.end.state],
    wayItem(parts.way),
    wayItem(parts.tombstone),
    shift === undefined ? null : [...headerItem(shift), shift.command],
  ]);
}

/** Decodes a proof; what it claims is judged apart. Throws `CHAIN_INVALID`. */
export function readProof(bytes: Uint8Array): ProofParts {
  return decodingAt(0, "malformed", () => {
    const fields = openRecord(bytes, "proof", { maxBytes: maxProofBytes });
    const parts = {
      genesis: fields.bytes("genesis", { least: 1, most: maxGenesisBytes }),
      node: fields.id<NodeId>("node", 32),
      atMs: fields.counter("atMs"),
      hops: fields.list("hops", { least: 1, most: maxProofHops }).map(readHop),
      last: optional(fields, "last", (item) => ({ ...readHeaderOf(item), state: stateOf(item) })),
      next: optional(fields, "next", (item) => {
        const first = readHeaderOf(item);
        return { first, end: { ...readHeaderOf(item), state: stateOf(item) } };
      }),
      way: optional(fields, "way", readWay),
      tombstone: optional(fields, "tombstone", readWay),
      shift: optional(fields, "shift", (item) => ({
        ...readHeaderOf(item),
        command: item.bytes("command", { least: 1, most: maxCommandBytes }),
      })),
    };
    fields.finish();
    return parts;
  });
}

function optional<T>(fields: FieldList, name: string, read: (item: FieldList) => T): T | undefined {
  const list = fields.optionalList(name, { least: 2, most: 5 });
  if (list === undefined) return undefined;
  const item = new FieldList(list, `proof.${name}`);
  const value = read(item);
  item.finish();
  return value;
}

function readHop(value: CanonicalValue, index: number): ProofHop {
  const item = new FieldList(value, `proof.hops[${index}]`);
  const header = item.bytes("header", { least: 1, most: maxHeaderBytes });
  const state = stateOf(item);
  const seal = item.bytes("seal", { least: 1, most: maxSealBytes });
  item.finish();
  return { header, state, seal };
}

function readHeaderOf(item: FieldList): ProvenHeader {
  const header = item.bytes("header", { least: 1, most: maxHeaderBytes });
  const path = item
    .list("path", { least: 0, most: 53 })
    .map((hash) => new FieldList([hash], "proof.path").id<Hash>("hash", 32));
  return { header, path };
}

function stateOf(item: FieldList): Uint8Array {
  return item.bytes("state", { least: 1, most: maxStateBytes });
}

function readWay(item: FieldList): NonNullable<ProvenWay> {
  const id = item.bytes("id", { least: 32, most: 32 });
  const value = item.bytes("value", { least: 0, most: maxNodeRecordBytes });
  const steps = item.list("steps", { least: 0, most: 256 }).map((step): WayStep => {
    const pair = new FieldList(step, "proof.step");
    const bit = pair.counter("bit");
    const beside = pair.bytes("beside", { least: 32, most: 32 });
    pair.finish();
    return { bit, beside };
  });
  return { id, value, steps };
}

/** The block of a node's last shift, with what its command says of it. */
export interface ProvenShift extends ChainHead {
  readonly verb: TransitionVerb;
  readonly reason: string;
  readonly proposer: NodeId;
  readonly timeMs: number;
}

/** What came of judging a proof. */
export type ProofVerdict =
  | {
      readonly ok: true;
      readonly clusterId: ClusterId;
      readonly node: NodeId;
      /** The moment that was asked for, milliseconds since the epoch by committed time. */
      readonly atMs: number;
      /** What the node was; absent where it did not belong to the formation. */
      readonly record?: NodeRecord;
      /** True where the node did not belong to the formation and had left a tombstone: it can never come back. */
      readonly removed: boolean;
      /** The formation's generation at that moment. */
      readonly generation: number;
      /** The height of the last block that was not later than the moment. */
      readonly height: number;
      /** The committed time of that block. */
      readonly fromMs: number;
      /**
       * When the next command came: the formation was this one up to here. Absent where nothing above is sealed: then it is proven up to
       * `fromMs`, and that nothing followed until `atMs` is not in the bytes.
       */
      readonly untilMs?: number;
      /** The sealed block that vouches for all of it. */
      readonly sealed: ChainHead;
      /** What that block is believed for: signatures from genesis on, the trusted keys, or the checkpoint. */
      readonly rests: "genesis" | "keys" | "checkpoint";
      /** A shift of the node that led there, where the proof holds it: the last one, if its maker was honest. */
      readonly shift?: ProvenShift;
    }
  | { readonly ok: false; readonly fault: ChainFault };
