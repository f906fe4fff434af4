import {
  FieldReader,
  InvalidValueError,
  parseClusterId,
  parseHash,
  parseNodeId,
  type Attestor,
  type ChainHead,
  type ClusterId,
  type Hash,
  type NodeId,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { MachineRefusal } from "./result.ts";

/** A voter's word that a prefix of the chain is archived and may be dropped on every replica. */
export interface DropStatement {
  readonly clusterId: ClusterId;
  /** The last block that is dropped. */
  readonly head: ChainHead;
  /** The hash of the archived segment that ends with it. */
  readonly archive: Hash;
  readonly proposer: NodeId;
}

const domain = "revoada/drop/1";
/** So many of the newest sealed blocks are never dropped: whoever is only a little behind follows by the blocks themselves. */
export const leastKeptBlocks = 16;
/** Most blocks that one command drops, and one segment holds: dropping goes over them once, on every replica, between two entries. */
export const segmentBlocks = 512;
/** Largest checkpoint that replicas keep: it has to travel in one answer. */
export const maxBaseBytes: number = 8 * 1024 * 1024;

function statementBytes({ clusterId, head, archive, proposer }: DropStatement): Uint8Array {
  return encodeCanonical({ domain, clusterId, height: head.height, hash: head.hash, archive, proposer });
}

/** The body of a drop command, signed by its proposer. */
export function encodeDrop(
  attestor: Pick<Attestor, "identity">,
  statement: Omit<DropStatement, "proposer">,
): Uint8Array {
  const { identity } = attestor;
  const bytes = statementBytes({ ...statement, proposer: identity.id });
  return encodeCanonical({ statement: bytes, signature: identity.sign(bytes) });
}

/** Decodes a drop command and checks that its proposer signed it. Throws `FABRIC_INVALID_VALUE` or `CHAIN_DROP_REFUSED`. */
export function openDrop(body: Uint8Array, attestor: Pick<Attestor, "verifySignature">): DropStatement {
  const fields = new FieldReader(decodeCanonical(body, "drop"), "drop");
  const [bytes, signature] = [fields.take("statement"), fields.take("signature")];
  fields.finish();
  if (!(bytes instanceof Uint8Array)) throw new InvalidValueError("drop.statement", bytes, "bytes");
  if (!(signature instanceof Uint8Array)) throw new InvalidValueError("drop.signature", signature, "bytes");
  const said = new FieldReader(decodeCanonical(bytes, "drop.statement"), "drop.statement");
  said.oneOf("domain", [domain]);
  const height = said.number("height");
  if (!Number.isSafeInteger(height) || height < 1) throw new InvalidValueError("drop.height", height, "a height");
  const statement = {
    clusterId: parseClusterId(said.take("clusterId"), "drop.clusterId"),
    head: { height, hash: parseHash(said.take("hash"), "drop.hash") },
    archive: parseHash(said.take("archive"), "drop.archive"),
    proposer: parseNodeId(said.take("proposer"), "drop.proposer"),
  };
  said.finish();
  if (!attestor.verifySignature(statement.proposer, bytes, signature))
    throw new MachineRefusal("CHAIN_DROP_REFUSED", `${statement.proposer} did not sign the drop`);
  return statement;
}
