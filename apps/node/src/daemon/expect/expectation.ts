import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { decodeCanonical, encodeCanonical } from "@revoada/attest-blake3";
import { FieldReader, isFabricError, parseNodeId, type Address, type NodeId } from "@revoada/fabric";
import { ExpectInvalidError } from "../../errors.ts";

/** One of the nodes that found a cluster together: its key, and where it is. */
export interface ExpectedNode {
  readonly id: NodeId;
  readonly addresses: readonly Address[];
}

/** Who speaks; a word of one side is never taken for the other's. */
export type Side = "founder" | "follower";

const domain = "revoada/expect/1";
const maxNodes = 64;
const leastSecretBytes = 16;
const maxWordBytes = 64 * 1024;

/** `ID HOST:PORT[,HOST:PORT…]` a line, or an id alone where the nodes find each other; `#` begins a comment. Throws `NODE_EXPECT_INVALID` with the line. */
export function parseExpectedNodes(text: string, path: string): readonly ExpectedNode[] {
  const nodes: ExpectedNode[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const words = line
      .replace(/#.*$/, "")
      .trim()
      .split(/\s+/)
      .filter((word) => word !== "");
    if (words.length === 0) continue;
    const [id = "", list] = words;
    const addresses = list?.split(",") ?? [];
    const fits = addresses.every((address) => /^(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}$/.test(address));
    if (words.length > 2 || !fits || addresses.length > 16)
      throw new ExpectInvalidError(
        `${path}:${index + 1}: expected a node id and perhaps host:port, separated by a space`,
      );
    try {
      nodes.push({ id: parseNodeId(id), addresses });
    } catch {
      throw new ExpectInvalidError(`${path}:${index + 1}: ${JSON.stringify(id.slice(0, 80))} is no node id`);
    }
  }
  return nodes;
}

/**
 * What several nodes hold in common before there is a cluster: each other's keys and a secret. The one with the lowest id founds;
 * everything that is said is bound to the keys, to the secret and to the connection that it is said over.
 */
export class Expectation {
  readonly self: NodeId;
  /** By ascending id. */
  readonly nodes: readonly ExpectedNode[];
  readonly founder: NodeId;
  readonly #secret: Uint8Array;
  readonly #context: Uint8Array;
  readonly #key: Buffer;

  /** Throws `NODE_EXPECT_INVALID` for what could not work. */
  constructor(given: {
    readonly self: NodeId;
    readonly count: number;
    readonly nodes: readonly ExpectedNode[];
    readonly secret: Uint8Array;
  }) {
    const { self, count, nodes, secret } = given;
    const sorted = nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const [first] = sorted;
    if (first === undefined || sorted.length > maxNodes)
      throw new ExpectInvalidError(`${sorted.length} nodes are listed, expected 1 to ${maxNodes}`);
    const twice = sorted.find(({ id }, index) => sorted[index + 1]?.id === id);
    if (twice !== undefined) throw new ExpectInvalidError(`node ${twice.id} is listed twice`);
    if (sorted.length !== count)
      throw new ExpectInvalidError(`${sorted.length} nodes are listed, ${count} are expected`);
    if (!sorted.some(({ id }) => id === self))
      throw new ExpectInvalidError(`this node, ${self}, is not among those that are listed`);
    if (secret.length < leastSecretBytes)
      throw new ExpectInvalidError(`the secret has ${secret.length} bytes, at least ${leastSecretBytes} are needed`);
    this.self = self;
    this.nodes = sorted;
    this.founder = first.id;
    this.#secret = secret;
    this.#context = encodeCanonical(sorted.map(({ id }) => id));
    this.#key = this.#derive("words", 32);
  }

  get isFounder(): boolean {
    return this.self === this.founder;
  }

  /** Everybody but this node. */
  get others(): readonly ExpectedNode[] {
    return this.nodes.filter(({ id }) => id !== this.self);
  }

  has(id: NodeId): boolean {
    return this.nodes.some((node) => node.id === id);
  }

  /** What a join token is made of that all of them, and nobody else, can make: 48 bytes. */
  tokenMaterial(): Uint8Array {
    return this.#derive("token", 48);
  }

  /** What they find each other by before their cluster has a name: 32 bytes that nobody else can make. */
  meetingGroup(): Uint8Array {
    return this.#derive("meeting", 32);
  }

  /** Seals a word for one connection. `binding` is the connection's own (RFC 9266). */
  seal(side: Side, binding: Uint8Array, body: Readonly<Record<string, string | boolean | Uint8Array>>): Uint8Array {
    const bytes = encodeCanonical({ ...body });
    return encodeCanonical({ version: 1, body: bytes, mac: new Uint8Array(this.#mac(side, binding, bytes)) });
  }

  /** Opens a word of the other side; undefined where it is not of somebody who holds the same keys and secret. */
  open(side: Side, binding: Uint8Array, word: Uint8Array): FieldReader | undefined {
    try {
      const outer = new FieldReader(decodeCanonical(word, { maxBytes: maxWordBytes }), "word");
      const [version, body, mac] = [outer.take("version"), outer.take("body"), outer.take("mac")];
      outer.finish();
      if (version !== 1 || !(body instanceof Uint8Array) || !(mac instanceof Uint8Array)) return undefined;
      const expected = this.#mac(side, binding, body);
      if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) return undefined;
      return new FieldReader(decodeCanonical(body, { maxBytes: maxWordBytes }), "word");
    } catch (error) {
      if (isFabricError(error)) return undefined;
      throw error;
    }
  }

  #mac(side: Side, binding: Uint8Array, body: Uint8Array): Buffer {
    return createHmac("sha256", this.#key)
      .update(encodeCanonical([domain, side, binding, body]))
      .digest();
  }

  #derive(purpose: string, length: number): Buffer {
    const info = encodeCanonical([purpose, this.#context]);
    return Buffer.from(hkdfSync("sha256", this.#secret, domain, info, length));
  }
}
