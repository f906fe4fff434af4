import {
  FieldReader,
  InvalidValueError,
  parseClusterId,
  parseNodeId,
  parseStoreId,
  type Address,
  type ClusterId,
  type NodeId,
  type StoreId,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";

const maxAddresses = 16;
const maxAddressLength = 300;

/** What a newcomer says of itself, with the proof that it holds a token. */
export interface JoinRequest {
  readonly clusterId: ClusterId;
  readonly node: NodeId;
  readonly tokenId: string;
  readonly proof: Uint8Array;
  readonly storeId: StoreId;
  readonly generation: number;
  readonly zone: string;
  readonly version: string;
  readonly addresses: readonly Address[];
}

export function encodeJoinRequest(request: JoinRequest): Uint8Array {
  return encodeCanonical({ version: 1, request });
}

export function decodeJoinRequest(bytes: Uint8Array): JoinRequest {
  const outer = new FieldReader(decodeCanonical(bytes, "join"), "join");
  const version = outer.take("version");
  if (version !== 1) throw new InvalidValueError("join.version", version, "1");
  const fields = new FieldReader(outer.take("request"), "join.request");
  outer.finish();
  const proof = fields.take("proof");
  if (!(proof instanceof Uint8Array) || proof.length !== 64)
    throw new InvalidValueError("join.request.proof", proof, "64 bytes");
  const generation = fields.number("generation");
  if (!Number.isSafeInteger(generation) || generation < 0)
    throw new InvalidValueError("join.request.generation", generation, "a whole number");
  const request: JoinRequest = {
    clusterId: parseClusterId(fields.take("clusterId")),
    node: parseNodeId(fields.take("node")),
    tokenId: fields.string("tokenId", { maxLength: 32 }),
    proof,
    storeId: parseStoreId(fields.take("storeId")),
    generation,
    zone: shortText(fields.take("zone"), "join.request.zone"),
    version: shortText(fields.take("version"), "join.request.version"),
    addresses: parseAddresses(fields.take("addresses"), "join.request.addresses"),
  };
  fields.finish();
  return request;
}

function shortText(value: unknown, path: string): string {
  if (typeof value === "string" && value.length <= 64) return value;
  throw new InvalidValueError(path, value, "a text of at most 64 characters");
}

function parseAddresses(value: unknown, path: string): readonly Address[] {
  const valid = Array.isArray(value) && value.length <= maxAddresses;
  if (!valid || !value.every((address) => typeof address === "string" && address.length <= maxAddressLength)) {
    throw new InvalidValueError(path, value, `at most ${maxAddresses} addresses`);
  }
  return value as Address[];
}

/** What a newcomer is given: the cluster's genesis, the sealed chain that covers its admission, and where others are. */
export interface JoinAnswer {
  readonly genesis: Uint8Array;
  readonly chain: Uint8Array;
  readonly peers: readonly { readonly id: NodeId; readonly addresses: readonly Address[] }[];
}

/** What a newcomer hears who is not let in: never (`refused`), or not here and now (`unavailable`). Why is not said. */
export type JoinRefusal = { readonly refused: true } | { readonly unavailable: true };

export function encodeJoinAnswer(answer: JoinAnswer | JoinRefusal): Uint8Array {
  return encodeCanonical("chain" in answer ? { version: 1, answer } : { version: 1, ...answer });
}

export function decodeJoinAnswer(bytes: Uint8Array): JoinAnswer | JoinRefusal {
  const outer = new FieldReader(decodeCanonical(bytes, "join answer"), "join answer");
  const version = outer.take("version");
  if (version !== 1) throw new InvalidValueError("join answer.version", version, "1");
  if (outer.take("refused") === true) return { refused: true };
  if (outer.take("unavailable") === true) return { unavailable: true };
  const fields = new FieldReader(outer.take("answer"), "join answer");
  const [genesis, chain, peers] = [fields.take("genesis"), fields.take("chain"), fields.take("peers")];
  if (!(genesis instanceof Uint8Array)) throw new InvalidValueError("join answer.genesis", genesis, "bytes");
  if (!(chain instanceof Uint8Array)) throw new InvalidValueError("join answer.chain", chain, "bytes");
  if (!Array.isArray(peers) || peers.length > 4096) throw new InvalidValueError("join answer.peers", peers, "a list");
  return {
    genesis,
    chain,
    peers: peers.map((peer: unknown, index) => {
      const { id, addresses } = (peer ?? {}) as Record<string, unknown>;
      return {
        id: parseNodeId(id, `join answer.peers.${index}`),
        addresses: parseAddresses(addresses, `join answer.peers.${index}`),
      };
    }),
  };
}
