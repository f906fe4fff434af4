import {
  applyFormationCommand,
  FabricError,
  genesisFormation,
  type ApprovalStatement,
  type Attestor,
  type Block,
  type ChainFollower,
  type ChainHead,
  type ChainHop,
  type ChainRecord,
  type ChainVerdict,
  type ClusterId,
  type Cosignature,
  type Formation,
  type FormationCommand,
  type FormationStep,
  type Generation,
  type Genesis,
  type GenesisInput,
  type Hash,
  type JoinToken,
  type NodeId,
  type NodeRecord,
  type Seal,
  type TokenRecord,
} from "@revoada/fabric";
import { digest, hashOf, identityOf, jsonBytes, jsonValue, sameBytes, signatureOf } from "./keys.ts";

class ChainInvalid extends FabricError {}

function refuse(message: string): never {
  throw new ChainInvalid("CHAIN_INVALID", message);
}

function opened<T>(bytes: Uint8Array, kind: string): T {
  try {
    const [found, value] = jsonValue(bytes) as [string, T];
    if (found === kind) return value;
  } catch {
    // Told below.
  }
  return refuse(`these bytes are no ${kind}`);
}

interface Signed {
  readonly body: Uint8Array;
  readonly signer: NodeId;
  readonly signature: Uint8Array;
}

function openSigned<T>(bytes: Uint8Array, kind: string): T {
  const { body, signer, signature } = opened<Signed>(bytes, kind);
  if (!(body instanceof Uint8Array) || !sameBytes(signature, signatureOf(signer, body)))
    refuse(`the ${kind} is not signed by ${signer}`);
  return jsonValue(body) as T;
}

function statement(clusterId: ClusterId, head: ChainHead): Uint8Array {
  return jsonBytes(["head", clusterId, head.height, head.hash]);
}

function successionOf(clusterId: ClusterId, predecessor: NodeId, successor: NodeId): Uint8Array {
  return jsonBytes(["succession", clusterId, predecessor, successor]);
}

function approvalOf({ clusterId, head, transitions, reason }: ApprovalStatement): Uint8Array {
  return jsonBytes(["approval", { clusterId, head: { height: head.height, hash: head.hash }, transitions, reason }]);
}

function cosignatureOf(clusterId: ClusterId, head: ChainHead): Uint8Array {
  return jsonBytes(["cosign", clusterId, head.height, head.hash]);
}

function openCosignature(bytes: Uint8Array, clusterId: ClusterId): Cosignature {
  const cosignature = opened<Cosignature>(bytes, "cosignature");
  const { head, operator, signature } = cosignature;
  if (!sameBytes(signature, signatureOf(operator, cosignatureOf(clusterId, head))))
    refuse(`${operator} did not sign height ${head.height}`);
  return cosignature;
}

interface OpenedCommand {
  readonly bytes: Uint8Array;
  readonly index: number;
  readonly steps: readonly FormationStep[];
  readonly done: number;
}

interface BlockBody {
  readonly height: number;
  readonly previous: Hash;
  readonly generation: number;
  readonly term: number;
  readonly index: number;
  readonly ordinal: number;
  readonly command: Uint8Array;
}

function openGenesis(bytes: Uint8Array): Genesis {
  const input = openSigned<GenesisInput & { readonly founder: NodeId }>(bytes, "genesis");
  return { ...input, clusterId: digest("cluster", bytes) as ClusterId, bytes };
}

function openCommand(bytes: Uint8Array): FormationCommand {
  const { signer } = opened<Signed>(bytes, "command");
  const command = openSigned<FormationCommand>(bytes, "command");
  if (command.proposer !== signer) refuse("the command is signed by another than its proposer");
  for (const transition of command.transitions) {
    if (transition.verb !== "succeed") continue;
    const named = successionOf(command.clusterId, transition.predecessor, transition.node);
    if (!sameBytes(transition.signature, signatureOf(transition.predecessor, named)))
      refuse(`${transition.predecessor} did not name ${transition.node}`);
  }
  return command;
}

function openSeal(bytes: Uint8Array, clusterId: ClusterId, voters: ReadonlySet<NodeId>): Seal {
  const seal = opened<Seal>(bytes, "seal");
  const signers = new Set(seal.signatures.map(({ signer }) => signer));
  const known = seal.signatures.every(
    ({ signer, signature }) =>
      voters.has(signer) && sameBytes(signature, signatureOf(signer, statement(clusterId, seal.head))),
  );
  if (!known || !signers.has(seal.leader) || signers.size * 2 <= voters.size)
    refuse(`the seal of height ${seal.head.height} does not hold`);
  return seal;
}

function votersOf(formation: Formation): string {
  const voters = [...formation.nodes].filter(([, record]) => record.replica === "voter");
  return voters
    .map(([id, record]) => `${id}:${record.storeId}`)
    .toSorted()
    .join();
}

function voterIds(formation: Formation): ReadonlySet<NodeId> {
  return new Set([...formation.nodes].filter(([, record]) => record.replica === "voter").map(([id]) => id));
}

/** The chain's rules, told once more and apart from the machine that is tested against them (see ADR 0003). */
class Follower implements ChainFollower {
  readonly #genesis: Genesis;
  #blocks: readonly { readonly head: ChainHead; readonly formation: Formation }[];
  #sealed = 0;
  #open: OpenedCommand | undefined;
  #last = { term: 0, index: 0 };
  #voters: ReadonlySet<NodeId>;
  #pending: { readonly endHeight: number; readonly voters: ReadonlySet<NodeId> } | undefined;
  /** The height of the first of `#blocks`. */
  #base = 0;
  #leap: { readonly height: number; readonly voters: ReadonlySet<NodeId> } | undefined;
  /** What the last seal came to. */
  readonly hops: ChainHop[] = [];
  #lastSeal: Uint8Array | undefined;

  constructor(bytes: Uint8Array, clusterId: ClusterId, from?: Uint8Array) {
    this.#genesis = openGenesis(bytes);
    if (this.#genesis.clusterId !== clusterId) refuse("this genesis is of another cluster");
    const formation = genesisFormation({ ...this.#genesis, id: this.#genesis.founder });
    this.#blocks = [{ head: { height: 0, hash: clusterId as string as Hash }, formation }];
    this.#voters = new Set([this.#genesis.founder]);
    if (from !== undefined) this.#goOnFrom(opened<Checkpoint>(from, "checkpoint"));
  }

  reached(): number {
    return this.#leap?.height ?? this.head().height;
  }

  /** The state at a sealed head. */
  checkpoint(): Uint8Array {
    const { head, formation } = this.#blocks.at(-1) as { readonly head: ChainHead; readonly formation: Formation };
    if (this.#sealed !== head.height || this.#lastSeal === undefined)
      refuse(`nobody could go on from height ${head.height}`);
    const { nodes, tombstones, operators, ...rest } = formation;
    const plain = { ...rest, nodes: [...nodes], tombstones: [...tombstones], operators: operators && [...operators] };
    const facts = { genesis: this.#genesis.bytes, head, formation: plain, last: this.#last, seal: this.#lastSeal };
    return jsonBytes(["checkpoint", facts]);
  }

  #goOnFrom({ head, formation, last, seal }: Checkpoint): void {
    const { nodes, tombstones, operators, ...rest } = formation;
    const maps = { nodes: new Map(nodes), tombstones: new Set(tombstones) };
    const whole: Formation = {
      ...rest,
      ...maps,
      ...(operators === undefined ? {} : { operators: new Map(operators) }),
    };
    this.#blocks = [{ head, formation: whole }];
    this.#base = this.#sealed = head.height;
    this.#open = undefined;
    this.#last = last;
    this.#voters = voterIds(whole);
    this.#pending = undefined;
    this.#leap = undefined;
    this.#lastSeal = seal;
  }

  #at(height: number): { readonly head: ChainHead; readonly formation: Formation } | undefined {
    return this.#blocks[height - this.#base];
  }

  head(): ChainHead {
    return (this.#blocks.at(-1) as { readonly head: ChainHead }).head;
  }

  sealedHead(): ChainHead {
    return (this.#at(this.#sealed) as { readonly head: ChainHead }).head;
  }

  sealedFormation(): Formation {
    return (this.#at(this.#sealed) as { readonly formation: Formation }).formation;
  }

  advance(records: readonly ChainRecord[]): void {
    const before = [this.#blocks, this.#sealed, this.#open, this.#last, this.#voters, this.#pending] as const;
    const way = [this.#base, this.#leap, this.#lastSeal] as const;
    try {
      this.take(records);
      if (this.#sealed !== this.head().height) refuse("no seal covers the last block");
    } catch (error) {
      [this.#blocks, this.#sealed, this.#open, this.#last, this.#voters, this.#pending] = before;
      [this.#base, this.#leap, this.#lastSeal] = way;
      throw error;
    }
  }

  take(records: readonly ChainRecord[]): void {
    for (const { kind, bytes } of records) {
      if (kind === "hop") this.#hop(bytes);
      else if (kind === "checkpoint") this.#checkpoint(bytes);
      else {
        this.#leap = undefined;
        if (kind === "block") this.#block(bytes);
        else if (kind === "seal") this.#seal(bytes);
      }
    }
  }

  #hop(bytes: Uint8Array): void {
    const { head, voters, seal } = opened<Hop>(bytes, "hop");
    if (head.height <= this.reached()) refuse(`a hop back to ${head.height}`);
    const sealed = openSeal(seal, this.#genesis.clusterId, this.#leap?.voters ?? this.#voters);
    if (sealed.head.hash !== head.hash) refuse(`the hop's seal is over another block than ${head.height}`);
    this.#leap = { height: head.height, voters: new Set(voters) };
  }

  #checkpoint(bytes: Uint8Array): void {
    const checkpoint = opened<Checkpoint>(bytes, "checkpoint");
    const { height } = checkpoint.head;
    if (height < this.reached() || height <= this.head().height) refuse(`a checkpoint back at ${height}`);
    if (height !== this.#leap?.height)
      openSeal(checkpoint.seal, this.#genesis.clusterId, this.#leap?.voters ?? this.#voters);
    this.#goOnFrom(checkpoint);
  }

  #block(bytes: Uint8Array): void {
    const block = opened<BlockBody>(bytes, "block");
    const { head, formation } = this.#blocks.at(-1) as { readonly head: ChainHead; readonly formation: Formation };
    if (block.height !== head.height + 1 || block.previous !== head.hash)
      refuse(`block ${block.height} does not follow ${head.height}`);
    if (this.#open === undefined || this.#open.done === this.#open.steps.length) this.#openNext(block, formation);
    const open = this.#open as OpenedCommand;
    const step = open.steps[open.done];
    if (step === undefined || !sameBytes(open.bytes, block.command) || block.index !== open.index)
      refuse(`block ${block.height} is of another command`);
    if (step.ordinal !== block.ordinal || step.formation.generation !== block.generation)
      refuse(`block ${block.height} is out of order`);
    this.#open = { ...open, done: open.done + 1 };
    this.#blocks = [
      ...this.#blocks,
      { head: { height: block.height, hash: hashOf(bytes) }, formation: step.formation },
    ];
  }

  #openNext(block: BlockBody, formation: Formation): void {
    const command = openCommand(block.command);
    if (command.clusterId !== this.#genesis.clusterId) refuse("the command is of another cluster");
    if (!voterIds(formation).has(command.proposer)) refuse("the proposer does not vote");
    if (block.index <= this.#last.index || block.term < this.#last.term || block.term < command.term)
      refuse("the log's order is broken");
    const steps = applyFormationCommand(formation, command);
    const { approval, clusterId, transitions, reason } = command;
    const approved = approvalOf({ clusterId, head: this.head(), transitions, reason });
    if (approval !== undefined && !sameBytes(approval.signature, signatureOf(approval.operator, approved)))
      refuse("the approval is of something else");
    const after = steps.at(-1)?.formation ?? refuse("the command changes nothing");
    if (votersOf(after) !== votersOf(formation)) {
      if (this.#pending !== undefined) refuse(`voters change before height ${this.#pending.endHeight} is sealed`);
      this.#pending = { endHeight: block.height + steps.length - 1, voters: voterIds(after) };
    }
    this.#open = { bytes: block.command, index: block.index, steps, done: 0 };
    this.#last = { term: block.term, index: block.index };
  }

  #seal(bytes: Uint8Array): void {
    const { head } = openSeal(bytes, this.#genesis.clusterId, this.#voters);
    if (head.height <= this.#sealed || this.#at(head.height)?.head.hash !== head.hash)
      refuse(`a seal over another height ${head.height}`);
    this.#sealed = head.height;
    this.#lastSeal = bytes;
    if (this.#pending !== undefined && head.height >= this.#pending.endHeight) {
      this.#voters = this.#pending.voters;
      this.#pending = undefined;
      const hop: Hop = { head, voters: [...this.#voters], seal: bytes };
      this.hops.push({ height: head.height, bytes: jsonBytes(["hop", hop]) });
    }
  }
}

interface Hop {
  readonly head: ChainHead;
  readonly voters: readonly NodeId[];
  readonly seal: Uint8Array;
}

interface Checkpoint {
  readonly genesis: Uint8Array;
  readonly head: ChainHead;
  readonly formation: Omit<Formation, "nodes" | "tombstones" | "operators"> & {
    readonly nodes: readonly (readonly [NodeId, NodeRecord])[];
    readonly tombstones: readonly NodeId[];
    readonly operators?: readonly (readonly [NodeId, Generation])[];
  };
  readonly last: { readonly term: number; readonly index: number };
  readonly seal: Uint8Array;
}

interface ChainFile {
  readonly genesis: Uint8Array;
  readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
  readonly blocks: readonly Uint8Array[];
  readonly seals: readonly Uint8Array[];
}

function verifyChain(bytes: Uint8Array, clusterId: ClusterId): ChainVerdict {
  try {
    const { genesis, base, blocks, seals } = opened<ChainFile>(bytes, "chain");
    const follower = new Follower(genesis, clusterId);
    for (const hop of base?.hops ?? []) follower.take([{ kind: "hop", bytes: hop }]);
    if (base !== undefined) follower.take([{ kind: "checkpoint", bytes: base.checkpoint }]);
    const begin = follower.head().height;
    const sealsAt = new Map(seals.map((seal) => [opened<Seal>(seal, "seal").head.height, seal]));
    for (const [position, block] of blocks.entries()) {
      follower.take([{ kind: "block", bytes: block }]);
      const seal = sealsAt.get(begin + position + 1);
      if (seal !== undefined) follower.take([{ kind: "seal", bytes: seal }]);
    }
    const { height } = follower.head();
    if (seals.length > 0 && Math.max(...sealsAt.keys()) > height) refuse("a seal over a block that is not there");
    const generation = height as Formation["generation"];
    const head = { head: follower.head(), sealed: follower.sealedHead() };
    return { ok: true, clusterId, ...head, generation, recoveries: [] };
  } catch (error) {
    return { ok: false, fault: { reason: "malformed", height: 0, message: String(error) } };
  }
}

/** An attestor whose keys are no secrets: deterministic, quick, and strict about what it reads. */
export function testAttestor(name: string): Attestor {
  const identity = identityOf(name);
  const signed = (kind: string, value: unknown): Uint8Array => {
    const body = jsonBytes(value);
    return jsonBytes([kind, { body, signer: identity.id, signature: identity.sign(body) }]);
  };
  return {
    identity,
    verifySignature: (signer, message, signature) => sameBytes(signature, signatureOf(signer, message)),
    hash: hashOf,
    createGenesis: (input) => openGenesis(signed("genesis", { ...input, founder: identity.id })),
    openGenesis,
    signCommand: (command) => signed("command", command),
    signSuccession: (clusterId, successor) => identity.sign(successionOf(clusterId, identity.id, successor)),
    openCommand,
    encodeApproval: approvalOf,
    readApproval: (bytes) => opened<ApprovalStatement>(bytes, "approval"),
    signApproval: (asked) => ({ operator: identity.id, signature: identity.sign(approvalOf(asked)) }),
    checkApproval: (asked, { operator, signature }) => sameBytes(signature, signatureOf(operator, approvalOf(asked))),
    cosign: (clusterId, head) => ({
      head,
      operator: identity.id,
      signature: identity.sign(cosignatureOf(clusterId, head)),
    }),
    encodeCosignature: (cosignature) => jsonBytes(["cosignature", cosignature]),
    openCosignature,
    makeBlock(input): Block {
      const { previous, generation, term, index, ordinal, command } = input;
      const height = previous.height + 1;
      const body: BlockBody = { height, previous: previous.hash, generation, term, index, ordinal, command };
      const bytes = jsonBytes(["block", body]);
      return { height, hash: hashOf(bytes), bytes, history: [...previous.history, previous.hash] };
    },
    blockHash: hashOf,
    signHead: (clusterId, head) => ({ signer: identity.id, signature: identity.sign(statement(clusterId, head)) }),
    checkHead: (clusterId, head, { signer, signature }) =>
      sameBytes(signature, signatureOf(signer, statement(clusterId, head))),
    encodeSeal: (seal) => jsonBytes(["seal", seal]),
    readSeal: (bytes) => opened<Seal>(bytes, "seal"),
    openSeal,
    exportChain: (parts) => jsonBytes(["chain", parts]),
    verifyChain,
    follow: (genesis, clusterId, { from } = {}) => new Follower(genesis, clusterId, from),
    ...archives(),
    ...tokens(),
  };
}

function archives(): Pick<Attestor, "condense" | "archiveChain" | "readChain" | "placeOf"> {
  return {
    condense({ genesis, from, records }) {
      const follower = new Follower(genesis, openGenesis(genesis).clusterId, from);
      follower.take(records);
      return { head: follower.head(), checkpoint: follower.checkpoint(), hops: follower.hops };
    },
    archiveChain({ genesis, from, records, to }) {
      const first = from === undefined ? { kind: "genesis", bytes: genesis } : { kind: "checkpoint", bytes: from };
      return jsonBytes(["archive", [first, ...records, { kind: "checkpoint", bytes: to }]]);
    },
    readChain: (file) => opened<readonly ChainRecord[]>(file, "archive"),
    placeOf: ({ kind, bytes }) => opened<Hop | Checkpoint>(bytes, kind).head,
  };
}

function tokens(): Pick<Attestor, "createToken" | "encodeToken" | "decodeToken" | "proveToken" | "checkTokenProof"> {
  const keyOf = (seed: Uint8Array): NodeId => digest("token", seed) as NodeId;
  const proofOf = (publicKey: NodeId, parts: readonly unknown[]): Uint8Array =>
    signatureOf(publicKey, jsonBytes(parts));
  return {
    createToken({ clusterId, addresses, voters, expiresMs, uses, random }) {
      const tokenId = Buffer.from(random.subarray(0, 16)).toString("hex");
      const seed = new Uint8Array(random.subarray(16));
      const record: TokenRecord = { tokenId, publicKey: keyOf(seed), expiresMs, usesLeft: uses };
      return { token: { clusterId, addresses, voters, tokenId, seed }, record };
    },
    encodeToken: (token) => Buffer.from(jsonBytes(token)).toString("base64url"),
    decodeToken: (text) => jsonValue(Buffer.from(text, "base64url")) as JoinToken,
    proveToken: ({ tokenId, clusterId, seed }, channelBinding, node) =>
      proofOf(keyOf(seed), [tokenId, clusterId, channelBinding, node]),
    checkTokenProof: ({ tokenId, publicKey }, clusterId, channelBinding, node, proof) =>
      sameBytes(proof, proofOf(publicKey, [tokenId, clusterId, channelBinding, node])),
  };
}
