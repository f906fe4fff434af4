import {
  FieldReader,
  InvalidValueError,
  type Attestor,
  type ChainFollower,
  type ChainRecord,
  type Clock,
  type ClusterId,
  type Formation,
  type Genesis,
  type Hash,
  type Logger,
  type MachineStore,
  type NodeId,
  type Random,
  type Transport,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";
import { sealedRecords, type KnownUpTo } from "../machine/kept-chain.ts";
import type { ClusterMachine } from "../machine/machine.ts";
import { protocols } from "../protocols.ts";
import { ShortWay } from "./short-way.ts";

/** Most bytes of chain in one answer; whoever is further behind asks again. */
const maxAnswerBytes = 1024 * 1024;
/** Blocks that somebody who has nothing of the chain is shown: more would take a tenth of a second to verify, and twice. */
const maxWayBytes = 256 * 1024;
/** Own chain is verified so much at a time: a hundred blocks, some 25 ms. */
const ownBytesPerTurn = 64 * 1024;

export interface DirectoryOptions {
  readonly attestor: Attestor;
  readonly transport: Transport;
  readonly machine: ClusterMachine;
  readonly store: MachineStore;
  readonly genesis: Genesis;
  /** The recoveries that this node was told to believe when it was let in. */
  readonly recoveries: readonly Hash[];
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly cadenceMs: () => number;
  /** True while this node's own log keeps it current. */
  readonly isCurrent: () => boolean;
  /** Called after the known formation changed. */
  readonly onChange: () => void;
}

/**
 * Who belongs to the cluster, as far as this node can prove it: the formation that its own log has applied, or that of the sealed
 * chain that others show to it, whichever is newer. Decides who may speak.
 */
export class Directory {
  readonly #options: DirectoryOptions;
  readonly #follower: ChainFollower;
  readonly #withdrawals: (() => void)[] = [];
  readonly #shortWay: ShortWay;
  /** What was shown by others, above the height that this node's own store holds. */
  #records: ShownRecord[] = [];
  #recordsAfter = 0;
  #ownRefused = false;
  #cancel: (() => void) | undefined;
  #stopped = false;
  #refreshing: Promise<void> | undefined;
  #announced = 0;

  constructor(options: DirectoryOptions, chain?: Uint8Array) {
    this.#options = options;
    const told = new Set(options.recoveries);
    this.#follower = options.attestor.follow(options.genesis.bytes, options.genesis.clusterId, {
      // A node's own log is no stranger: what it has applied it was led to by voters, or by its operator.
      believes: ({ hash }) =>
        told.has(hash) || options.machine.formation.state?.recoveries.some((known) => known.hash === hash) === true,
    });
    this.#shortWay = new ShortWay({ ...options, pause: () => this.#pause() });
    if (chain !== undefined) this.#adopt(decodeAnswer(chain));
    const { transport } = options;
    this.#withdrawals.push(
      transport.handle(protocols.chain, { onRequest: async (payload) => this.#answer(payload) }),
      transport.handle(protocols.sealed, { onMessage: (payload, { peer }) => this.#hear(payload, peer) }),
    );
    this.#schedule();
  }

  get clusterId(): ClusterId {
    return this.#options.genesis.clusterId;
  }

  /** The newest formation that this node can prove. */
  formation(): Formation {
    const applied = this.#options.machine.formation.state?.formation;
    const followed = this.#follower.sealedFormation();
    return applied !== undefined && applied.generation >= followed.generation ? applied : followed;
  }

  /** True where the node belongs to the cluster now. */
  isKnown(id: NodeId): boolean {
    return this.formation().nodes.has(id);
  }

  /** The sealed chain above what somebody has, as an answer for them; at most about `maxBytes` of it. */
  prove(known: KnownUpTo, maxBytes: number = maxAnswerBytes): Uint8Array {
    return encodeAnswer(this.#recordsAbove(known, maxBytes));
  }

  /**
   * The sealed chain for somebody who has nothing of it, as an answer: where the blocks have more than `maxBytes`, hops and a checkpoint stand for the
   * first of them. Of a node that holds a replica.
   */
  async way(maxBytes: number = maxWayBytes): Promise<Uint8Array> {
    const sealedHeight = (): number => this.#options.machine.formation.state?.sealed.height ?? 0;
    return encodeAnswer(await this.#shortWay.to(sealedHeight, maxBytes));
  }

  /**
   * Takes what this node's own log has sealed, and once there is no more of it, asks for what is missing: `from` where told, else a
   * random node.
   */
  refresh(from?: NodeId): Promise<void> {
    // One at a time: two answers to one question overlap, and the second is refused.
    this.#refreshing ??= this.#refresh(from).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(from: NodeId | undefined): Promise<void> {
    if (await this.#takeAllOwn()) return;
    const { transport, attestor, random } = this.#options;
    const others = [...this.formation().nodes.keys()].filter((id) => id !== attestor.identity.id);
    const peer = from ?? others[random.uint32() % Math.max(others.length, 1)];
    if (peer === undefined) return;
    const request = encodeKnown(this.#known());
    this.#take(await transport.request(peer, protocols.chain, request, { timeoutMs: 2000 }));
  }

  /** How far this node can follow the chain: its own log's part first. What lies above has to be shown to it. */
  async proven(): Promise<KnownUpTo> {
    await this.#takeAllOwn();
    return this.#known();
  }

  /** True where there was something to take. Whatever else there is to do goes between the pieces. */
  async #takeAllOwn(): Promise<boolean> {
    let took = false;
    while (this.#takeOwn() && !this.#stopped) {
      took = true;
      await this.#pause();
    }
    return took;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => this.#options.clock.nextTurn(resolve));
  }

  #known(): KnownUpTo {
    const { height } = this.#follower.head();
    const reached = this.#follower.reached();
    return reached > height ? { height, reached } : { height };
  }

  /** Takes a stretch of sealed chain that a stranger shows, which goes on from {@link proven}. Throws `CHAIN_INVALID`. */
  takeShown(answer: Uint8Array): void {
    this.#take(answer);
  }

  /** A node that fell out of the log need not be told again what it had applied before. True where there was something to take. */
  #takeOwn(): boolean {
    const { machine, store, logger } = this.#options;
    const { height } = this.#follower.head();
    const reached = this.#follower.reached();
    const sealed = machine.formation.state?.sealed.height ?? 0;
    if (sealed <= height || this.#ownRefused) return false;
    try {
      this.#follower.advance(bounded(sealedRecords(store, this.#known(), sealed), ownBytesPerTurn));
    } catch (error) {
      this.#ownRefused = true;
      logger.error("this node's own chain does not verify", { height, error: String(error) });
      return false;
    }
    this.#dropHeld();
    return this.#follower.reached() > reached;
  }

  /** What the store holds need not be held twice. */
  #dropHeld(): void {
    const sealed = this.#options.machine.formation.state?.sealed.height ?? 0;
    const { height } = this.#follower.head();
    if (sealed < height) return;
    this.#records = [];
    this.#recordsAfter = height;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    for (const withdraw of this.#withdrawals) withdraw();
  }

  /** Tells nodes that hold no log of a newer seal, so that they need not wait until they ask: best effort. */
  announce(): void {
    const { transport, machine } = this.#options;
    const state = machine.formation.state;
    if (state === undefined || state.sealed.height <= this.#announced) return;
    this.#announced = state.sealed.height;
    const message = encodeCanonical({ height: state.sealed.height });
    for (const [id, { replica }] of state.formation.nodes)
      if (replica === "none") transport.send(id, protocols.sealed, message);
  }

  /** A hint that is asked about, never believed. */
  #hear(payload: Uint8Array, peer: NodeId): void {
    const { logger, isCurrent } = this.#options;
    try {
      const fields = new FieldReader(decodeCanonical(payload, "sealed"), "sealed");
      const height = fields.number("height");
      fields.finish();
      if (this.#stopped || isCurrent() || height <= this.#follower.head().height) return;
    } catch (error) {
      logger.debug("a word of a seal was malformed", { peer, error: String(error) });
      return;
    }
    this.refresh(peer).catch((error: unknown) =>
      logger.debug("the chain could not be refreshed", { error: String(error) }),
    );
  }

  #schedule(): void {
    const { clock, cadenceMs, isCurrent, logger } = this.#options;
    this.#cancel = clock.schedule(cadenceMs(), () => {
      this.#dropHeld();
      const work = isCurrent() ? Promise.resolve() : this.refresh();
      work
        .catch((error: unknown) => logger.debug("the chain could not be refreshed", { error: String(error) }))
        .finally(() => {
          if (!this.#stopped) this.#schedule();
        });
    });
  }

  /** All of the sealed chain that this node can show, for an export; where blocks are left out, with what leads over them. */
  parts(): {
    readonly genesis: Uint8Array;
    readonly base?: { readonly hops: readonly Uint8Array[]; readonly checkpoint: Uint8Array };
    readonly blocks: readonly Uint8Array[];
    readonly seals: readonly Uint8Array[];
  } {
    const genesis = this.#options.genesis.bytes;
    const records = this.#recordsAbove({ height: 0 }, Number.POSITIVE_INFINITY);
    const end = records.findLastIndex(({ kind }) => kind === "checkpoint");
    const of = (kind: ChainRecord["kind"]): readonly Uint8Array[] =>
      records.slice(end + 1).flatMap((record) => (record.kind === kind ? [record.bytes] : []));
    const parts = { genesis, blocks: of("block"), seals: of("seal") };
    const checkpoint = records[end]?.bytes;
    return checkpoint === undefined
      ? parts
      : { ...parts, base: { checkpoint, hops: this.#hopsOf(records.slice(0, end)) } };
  }

  /** The hops on the way to a checkpoint. A node may have gone there by blocks, too, which come to hops as well. */
  #hopsOf(way: readonly ChainRecord[]): readonly Uint8Array[] {
    const { attestor, genesis } = this.#options;
    const hops: Uint8Array[] = [];
    let from: { readonly from?: Uint8Array } = {};
    let blocks: ChainRecord[] = [];
    const condense = (): void => {
      if (blocks.length === 0) return;
      const passed = attestor.condense({ genesis: genesis.bytes, ...from, records: blocks });
      hops.push(...passed.hops.map(({ bytes }) => bytes));
      blocks = [];
    };
    for (const record of way) {
      if (record.kind === "block" || record.kind === "seal") {
        blocks.push(record);
        continue;
      }
      condense();
      if (record.kind === "hop") hops.push(record.bytes);
      else from = { from: record.bytes };
    }
    condense();
    return hops;
  }

  #take(answer: Uint8Array): void {
    const records = decodeAnswer(answer);
    if (records.length === 0 || this.#stopped) return;
    this.#adopt(records);
    this.#options.onChange();
  }

  #adopt(records: readonly ChainRecord[]): void {
    let { height } = this.#follower.head();
    this.#follower.advance(records);
    for (const record of records) {
      if (record.kind === "block") height += 1;
      else if (record.kind !== "seal") ({ height } = this.#options.attestor.placeOf(record));
      this.#records.push({ record, height });
    }
  }

  #answer(payload: Uint8Array): Uint8Array {
    const fields = new FieldReader(decodeCanonical(payload, "chain request"), "chain request");
    const known = takeKnown(fields);
    fields.finish();
    return this.prove(known);
  }

  #recordsAbove(known: KnownUpTo, maxBytes: number): readonly ChainRecord[] {
    const { machine, store } = this.#options;
    const state = machine.formation.state;
    if (state !== undefined && state.sealed.height >= this.#follower.head().height) {
      return bounded(sealedRecords(store, known, state.sealed.height), maxBytes);
    }
    // The follower holds whole sealed stretches; what lies below the asked height is left out record by record.
    const own = Math.max(this.#recordsAfter, state?.base.height ?? 0);
    const above: ChainRecord[] = known.height < own ? [...sealedRecords(store, known, own)] : [];
    const begin = Math.max(known.height, own);
    const isShort = ({ record, height }: ShownRecord): boolean =>
      height > begin && !(record.kind === "hop" && height <= (known.reached ?? 0));
    above.push(...this.#records.filter(isShort).map(({ record }) => record));
    return bounded(above, maxBytes);
  }
}

/** What was shown, and the height that it leads to. */
interface ShownRecord {
  readonly record: ChainRecord;
  readonly height: number;
}

/** As many records as fit, ending with a seal, a hop or a checkpoint, so that the receiver can take what it gets; no more of them are read. */
function bounded(records: Iterable<ChainRecord>, maxBytes: number): readonly ChainRecord[] {
  const taken: ChainRecord[] = [];
  let bytes = 0;
  let end = 0;
  for (const record of records) {
    bytes += record.bytes.length;
    // The first sealed stretch always fits: a node that cannot take it could never go on.
    if (bytes > maxBytes && end > 0) break;
    taken.push(record);
    if (record.kind !== "block") end = taken.length;
  }
  return taken.slice(0, end);
}

/** How far this node has the chain, for whoever is asked for the rest. What nodes of before archives do not know is said only where it matters. */
export function encodeKnown({ height, reached }: KnownUpTo, more: Readonly<Record<string, number>> = {}): Uint8Array {
  return encodeCanonical({ ...more, afterHeight: height, ...(reached === undefined ? {} : { reached }) });
}

/** Takes such words from a message. Throws `FABRIC_INVALID_VALUE`. */
export function takeKnown(fields: FieldReader): KnownUpTo {
  const height = fields.number("afterHeight");
  const reached = fields.take("reached");
  for (const [name, value] of [
    ["afterHeight", height],
    ["reached", reached ?? 0],
  ] as const) {
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
      throw new InvalidValueError(fields.at(name), value, "a height");
  }
  return reached === undefined ? { height } : { height, reached: reached as number };
}

/** What kinds of records are called in an answer. */
const answerKinds = ["block", "seal", "hop", "checkpoint"] as const;

function encodeAnswer(records: readonly ChainRecord[]): Uint8Array {
  return encodeCanonical(records.map(({ kind, bytes }) => [(answerKinds as readonly string[]).indexOf(kind), bytes]));
}

/** The records of an answer: blocks and seals, or hops and a checkpoint in the place of blocks. Throws `FABRIC_INVALID_VALUE`. */
export function decodeAnswer(bytes: Uint8Array): readonly ChainRecord[] {
  const value = decodeCanonical(bytes, "chain answer");
  if (!Array.isArray(value)) throw new InvalidValueError("chain answer", value, "a list of blocks and seals");
  return value.map((item: unknown, index): ChainRecord => {
    const [place, record] = Array.isArray(item) ? (item as unknown[]) : [];
    const kind = typeof place === "number" ? answerKinds[place] : undefined;
    if (kind === undefined || !(record instanceof Uint8Array)) {
      throw new InvalidValueError(`chain answer.${index}`, item, `one of ${answerKinds.join(", ")}`);
    }
    return { kind, bytes: record };
  });
}
