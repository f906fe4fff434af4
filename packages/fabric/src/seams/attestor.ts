import type { Formation, FormationCommand, LimitedRole, OperatorSignature, Transition } from "../formation.ts";
import type { ClusterId, Generation, Hash, LogIndex, NodeId, StoreId, Term } from "../ids.ts";
import type { Identity } from "./identity.ts";

/** What genesis fixes for ever. The hash of its encoding is the cluster id. */
export interface GenesisInput {
  /** 32 random bytes, so that two clusters of one declaration differ. */
  readonly nonce: Uint8Array;
  readonly createdMs: number;
  /** Canonical bytes of the declaration. */
  readonly declaration: Uint8Array;
  readonly storeId: StoreId;
  readonly zone: string;
  readonly version: string;
  /** At least one where the strategy requires operator signatures. */
  readonly operators: readonly NodeId[];
}

/** Genesis, decoded and checked. */
export interface Genesis extends GenesisInput {
  readonly founder: NodeId;
  readonly clusterId: ClusterId;
  /** The exact signed bytes; the chain's block 0. */
  readonly bytes: Uint8Array;
}

/** The end of a chain. Genesis has height 0. */
export interface ChainHead {
  readonly height: number;
  readonly hash: Hash;
}

/** The end of a chain, with what is needed to go on from there. */
export interface ChainTip extends ChainHead {
  /**
   * The peaks of the Merkle tree over genesis and all blocks *below* this one, the largest first: one for each bit that is set in `height`.
   * Empty for genesis.
   */
  readonly history: readonly Hash[];
}

/** What a chain leads to once a command is through: the last block of each command commits to it. */
export interface ChainState {
  readonly formation: Formation;
  /** Committed time: the largest `timeMs` of the commands so far, milliseconds since the epoch. */
  readonly timeMs: number;
  /** The blocks *before* this command by which one node went on alone, in order. */
  readonly recoveries: readonly ChainHead[];
}

/** One committed transition: where it stands in the log and which signed command brought it. */
export interface BlockInput {
  readonly previous: ChainTip;
  /** The formation's generation after this transition. */
  readonly generation: Generation;
  readonly term: Term;
  readonly index: LogIndex;
  /** Which transition of the command this is, from 0. */
  readonly ordinal: number;
  /** The exact signed bytes of the formation command. */
  readonly command: Uint8Array;
  /** What the command led to: given with its last block, and with no other. */
  readonly after?: ChainState;
}

export interface Block extends ChainTip {
  readonly bytes: Uint8Array;
}

/** One voter's signature over a head. */
export interface SealSignature {
  readonly signer: NodeId;
  readonly signature: Uint8Array;
}

/** A head that a majority of the voters in force before it has signed, the leader among them. */
export interface Seal {
  readonly head: ChainHead;
  readonly leader: NodeId;
  readonly signatures: readonly SealSignature[];
}

/** What an operator approves of: that these transitions, for this reason, follow upon this head and no other. */
export interface ApprovalStatement {
  readonly clusterId: ClusterId;
  readonly head: ChainHead;
  readonly transitions: readonly Transition[];
  readonly reason: string;
}

/** An operator's signature under a sealed head: the operator has seen the chain up to here. It stands beside the seal. */
export interface Cosignature extends OperatorSignature {
  readonly head: ChainHead;
}

/** Why a chain was refused, and where. */
export interface ChainFault {
  readonly reason:
    | "bad-magic"
    | "unknown-version"
    | "truncated"
    | "malformed"
    | "bad-genesis"
    | "wrong-cluster"
    | "broken-link"
    | "bad-signature"
    | "missing-signature"
    | "not-a-voter"
    | "out-of-order"
    | "generation-gap"
    | "wrong-commitment"
    | "illegal-transition"
    | "bad-seal"
    | "unsealed-voter-change"
    | "unbelieved-recovery"
    | "wrong-checkpoint"
    | "untrusted"
    | "unproven"
    | "archived"
    | "gap"
    | "overlap"
    | "unapproved-shift"
    | "not-an-operator"
    | "bad-cosignature"
    | "bad-export"
    | "trailing-bytes";
  readonly height: number;
  readonly message: string;
}

/** A block by which one node went on alone: it rests on that node's word, and no majority ever agreed to it. */
export interface ChainRecovery extends ChainHead {
  readonly node: NodeId;
  /** Who was given up. */
  readonly lost: readonly NodeId[];
  /** The reason that the command gives. */
  readonly reason: string;
  readonly timeMs: number;
}

/** What operators have signed for in a chain that was founded with operator keys. */
export interface OperatorVerdict {
  /** The keys in force at the head, in order. */
  readonly inForce: readonly NodeId[];
  /**
   * The highest sealed head that an operator vouches for, by a cosignature over it or by an approval of what led to it; genesis where
   * there is none. Blocks above it that are sealed await an operator.
   */
  readonly signed: ChainHead;
}

/** Who handed a chain over, by a signature over all of it. What the blocks say does not rest on it. */
export interface ExportVerdict {
  readonly exporter: NodeId;
  /** By the exporter's own clock, milliseconds since the epoch. */
  readonly exportedMs: number;
  /** Heights of the first and the last block. */
  readonly from: number;
  readonly to: number;
  /** True where the exporter is in the formation after the last block. */
  readonly isMember: boolean;
}

export type ChainVerdict =
  | {
      readonly ok: true;
      readonly clusterId: ClusterId;
      readonly head: ChainHead;
      /** The highest sealed head; undefined where nothing but genesis is vouched for. */
      readonly sealed?: ChainHead;
      readonly generation: Generation;
      /** The height that was gone on from, where that was a checkpoint and not genesis. */
      readonly base?: number;
      /**
       * Where the chain goes on by the word of one node after a majority was lost, in order. Whoever holds that one key could have made
       * such a block: whether it was an operator's will is not in the bytes.
       */
      readonly recoveries: readonly ChainRecovery[];
      /** Present where the chain was founded with operator keys. */
      readonly operators?: OperatorVerdict;
      /** Present where the chain came as a signed export. */
      readonly export?: ExportVerdict;
    }
  | { readonly ok: false; readonly fault: ChainFault };

/**
 * One piece of a chain. A hop is a sealed block without its command, after which others seal; hops lead over blocks that are kept no more to a
 * checkpoint, which is the whole state at a sealed block.
 */
export interface ChainRecord {
  readonly kind: "genesis" | "block" | "seal" | "cosignature" | "hop" | "checkpoint";
  readonly bytes: Uint8Array;
}

/** What remains of blocks that are put away: where others can go on, and how they get there. */
export interface ChainBase {
  /** The last of those blocks. */
  readonly head: ChainHead;
  /** The state there, with the seal over it. */
  readonly checkpoint: Uint8Array;
  /** One for each change of who seals, in order of their heights. */
  readonly hops: readonly ChainHop[];
}

export interface ChainHop {
  readonly height: number;
  readonly bytes: Uint8Array;
}

/** Follows one cluster's chain from genesis on, taking only what is sealed. */
export interface ChainFollower {
  /** The last block taken; genesis where there is none. */
  head(): ChainHead;
  /** The height that hops have led to, on the way to a checkpoint; that of the head where none are under way. */
  reached(): number;
  /** The formation at the sealed head; that of genesis where nothing is sealed. */
  sealedFormation(): Formation;
  /**
   * Takes blocks and seals that go on from the head and end with a seal over their last block, all or nothing. Hops and a checkpoint may stand
   * in the place of blocks, or hops alone, which others or the same go on from. Throws `CHAIN_INVALID`.
   */
  advance(records: readonly ChainRecord[]): void;
}

/** A join token's public half, as the cluster stores it. */
export interface TokenRecord {
  /** 32 hex characters. */
  readonly tokenId: string;
  /** Hex ed25519 public key that proves possession of the token. */
  readonly publicKey: NodeId;
  /** Milliseconds since the epoch, by committed time. */
  readonly expiresMs: number;
  readonly usesLeft: number;
  /** What its maker calls it: one printable line of at most 64 characters. */
  readonly label?: string;
  /** The only role that whoever it lets in may be given; absent: any. */
  readonly limitedTo?: LimitedRole;
}

/** A join token as it is handed to a newcomer: a secret. */
export interface JoinToken {
  readonly clusterId: ClusterId;
  readonly addresses: readonly string[];
  /** Node ids that the newcomer may trust at first contact. */
  readonly voters: readonly NodeId[];
  readonly tokenId: string;
  /** The ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array;
  /** Hashes of the recovery blocks that the newcomer may believe, in order; absent where the cluster never lost its majority. */
  readonly recoveries?: readonly Hash[];
}

/** What a follower takes on trust beside the cluster id. */
export interface FollowOptions {
  /** Says whether a recovery block may be believed. Unless told, none is: one stolen key could make it. */
  readonly believes?: (recovery: ChainHead) => boolean;
  /** A checkpoint to go on from in place of genesis: it is believed. */
  readonly from?: Uint8Array;
}

/**
 * Signing, linking and checking, for one identity. Everything is deterministic but key generation; nothing here touches a disk
 * or a network. Decoding refuses with `CHAIN_INVALID` or `TOKEN_INVALID`.
 */
export interface Attestor {
  readonly identity: Identity;
  verifySignature(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean;
  hash(bytes: Uint8Array): Hash;

  createGenesis(input: GenesisInput): Genesis;
  /** Decodes and checks a genesis: its form and its founder's signature. */
  openGenesis(bytes: Uint8Array): Genesis;

  /** Canonical bytes of a command with this identity's signature; `proposer` must be this identity. */
  signCommand(command: FormationCommand): Uint8Array;
  /** This identity's word that another key is its next one, in this cluster: what a `succeed` transition carries. */
  signSuccession(clusterId: ClusterId, successor: NodeId): Uint8Array;
  /** Decodes a command and checks its proposer's signature, and those of the keys that it lets others succeed. */
  openCommand(bytes: Uint8Array): FormationCommand;

  /** Canonical bytes of what an operator is asked to approve of. */
  encodeApproval(statement: ApprovalStatement): Uint8Array;
  /** Decodes and checks the form of such bytes. */
  readApproval(bytes: Uint8Array): ApprovalStatement;
  /** This identity's word, as an operator. What it says counts for one head, and nowhere else. */
  signApproval(statement: ApprovalStatement): OperatorSignature;
  /** True for a signature under this statement by the key that it names. Whether that key is in force is for the table. */
  checkApproval(statement: ApprovalStatement, signature: OperatorSignature): boolean;
  /** This identity's signature, as an operator, under a head. */
  cosign(clusterId: ClusterId, head: ChainHead): Cosignature;
  /** Canonical bytes of a cosignature. */
  encodeCosignature(cosignature: Cosignature): Uint8Array;
  /** Decodes a cosignature and checks that the key which it names made it for this cluster. */
  openCosignature(bytes: Uint8Array, clusterId: ClusterId): Cosignature;

  /** The block of one transition. Deterministic: every replica makes the same bytes. */
  makeBlock(input: BlockInput): Block;
  /** The hash of a block's bytes: what the next block and seals name it by. Throws `CHAIN_INVALID` for bytes that are no block. */
  blockHash(bytes: Uint8Array): Hash;

  /** This identity's signature under a head. */
  signHead(clusterId: ClusterId, head: ChainHead): SealSignature;
  /** True for a signature under this head by the key that it names. */
  checkHead(clusterId: ClusterId, head: ChainHead, signature: SealSignature): boolean;
  /** Canonical bytes of a seal. */
  encodeSeal(seal: Seal): Uint8Array;
  /** Decodes a seal without judging it. */
  readSeal(bytes: Uint8Array): Seal;
  /** Decodes a seal and checks it against the voters who must sign it: the leader and a majority of them did. */
  openSeal(bytes: Uint8Array, clusterId: ClusterId, voters: ReadonlySet<NodeId>): Seal;

  /** A chain file: genesis, blocks, seals and cosignatures in order. With a base, its hops and its checkpoint stand in the place of the blocks below. */
  exportChain(parts: {
    readonly genesis: Uint8Array;
    readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
    readonly blocks: readonly Uint8Array[];
    readonly seals: readonly Uint8Array[];
    readonly cosignatures?: readonly Uint8Array[];
  }): Uint8Array;
  /**
   * What a stretch of a chain comes to, from genesis or a checkpoint on: its end must be sealed, at the end of a command, and no recovery. For
   * chains that were verified before: signatures are not checked again, everything else is. Throws `CHAIN_INVALID`.
   */
  condense(stretch: {
    readonly genesis: Uint8Array;
    readonly from?: Uint8Array;
    readonly records: readonly ChainRecord[];
  }): ChainBase;
  /** A segment of a chain as a file: from genesis or a checkpoint to another checkpoint, the one that the stretch comes to. */
  archiveChain(stretch: {
    readonly genesis: Uint8Array;
    readonly from?: Uint8Array;
    readonly records: readonly ChainRecord[];
    readonly to: Uint8Array;
  }): Uint8Array;
  /** The records of a chain file, in order. Judges its form alone. Throws `CHAIN_INVALID`. */
  readChain(file: Uint8Array): readonly ChainRecord[];
  /** Which block a hop or a checkpoint is of. Judges their form alone. Throws `CHAIN_INVALID`. */
  placeOf(record: ChainRecord): ChainHead;
  /** Judges a chain file by its bytes and the cluster id alone. Never throws for any bytes. */
  verifyChain(bytes: Uint8Array, clusterId: ClusterId): ChainVerdict;

  /** A follower of the cluster that this genesis founded. Throws `CHAIN_INVALID`. */
  follow(genesis: Uint8Array, clusterId: ClusterId, options?: FollowOptions): ChainFollower;

  createToken(input: {
    readonly clusterId: ClusterId;
    readonly addresses: readonly string[];
    readonly voters: readonly NodeId[];
    readonly expiresMs: number;
    readonly uses: number;
    /** 48 random bytes: 16 for the id, 32 for the seed. */
    readonly random: Uint8Array;
    readonly recoveries?: readonly Hash[];
  }): { readonly token: JoinToken; readonly record: TokenRecord };
  /** One line of text, `rvd1…`. */
  encodeToken(token: JoinToken): string;
  decodeToken(text: string): JoinToken;
  /** Proves possession of a token for one connection and one node: signs (channel binding ‖ cluster id ‖ node id). */
  proveToken(token: JoinToken, channelBinding: Uint8Array, node: NodeId): Uint8Array;
  checkTokenProof(
    record: TokenRecord,
    clusterId: ClusterId,
    channelBinding: Uint8Array,
    node: NodeId,
    proof: Uint8Array,
  ): boolean;
}
