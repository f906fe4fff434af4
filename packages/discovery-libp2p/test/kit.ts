import { createPrivateKey, createPublicKey } from "node:crypto";
import { parseNodeId, silentLogger, type AddressHint, type Logger, type NodeId } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { libp2pDiscovery, type Libp2pDiscovery, type Libp2pDiscoveryOptions } from "@revoada/discovery-libp2p";

export const group: Uint8Array = new Uint8Array(32).fill(7);

/** The seed of a test's node. */
export function seedOf(name: number): Uint8Array {
  return new Uint8Array(32).fill(name);
}

/** The node of a seed. */
export function idOf(name: number): NodeId {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  const key = createPrivateKey({ key: Buffer.concat([prefix, seedOf(name)]), format: "der", type: "pkcs8" });
  return parseNodeId(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32).toString("hex"));
}

/** Where a test's node says that its transport is. */
export function addressOf(name: number): string {
  return `127.0.0.1:${7000 + name}`;
}

/** A source on loopback, which was not started. */
export function source(name: number, more: Partial<Libp2pDiscoveryOptions> = {}): Libp2pDiscovery {
  return libp2pDiscovery({
    privateKey: seedOf(name),
    group,
    listen: ["127.0.0.1:0"],
    addresses: () => [addressOf(name)],
    clock: systemClock(),
    random: systemRandom(),
    ...more,
  });
}

/** Sources that are ended with their test. */
export class Sources implements AsyncDisposable {
  readonly #sources: Libp2pDiscovery[] = [];

  async start(name: number, more: Partial<Libp2pDiscoveryOptions> = {}): Promise<Libp2pDiscovery> {
    const made = source(name, more);
    this.#sources.push(made);
    await made.start();
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sources.map((each) => each.shutdown()));
  }
}

/** Reads until each of `names` was found. The runner's deadline bounds it. */
export async function untilFound(from: Libp2pDiscovery, ...names: readonly number[]): Promise<readonly AddressHint[]> {
  const wanted = new Set(names.map(idOf));
  const hints: AddressHint[] = [];
  for await (const hint of from.hints({ signal: new AbortController().signal })) {
    hints.push(hint);
    if (hint.id !== undefined) wanted.delete(hint.id);
    if (wanted.size === 0) break;
  }
  return hints;
}

/** A logger that tells when something was said. */
export function listening(): { readonly logger: Logger; said(message: string): Promise<void> } {
  const heard = new Set<string>();
  const waiting = new Map<string, () => void>();
  const note = (message: string): void => {
    heard.add(message);
    waiting.get(message)?.();
  };
  const logger: Logger = { ...silentLogger, debug: note, info: note, warn: note, child: () => logger };
  return {
    logger,
    said: (message) =>
      heard.has(message) ? Promise.resolve() : new Promise((resolve) => void waiting.set(message, resolve)),
  };
}
