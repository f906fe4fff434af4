import type { KeyObject } from "node:crypto";
import { connect } from "node:tls";
import type { Address, Clock, NodeId, Random } from "@revoada/fabric";
import { parseAddress } from "./address.ts";
import { loadPrivateKey, proofOf, selfSigned } from "./certificate.ts";
import { systemCode } from "./errors.ts";
import { alpnOfChannel } from "./wire.ts";

/** What a probe for keys needs. */
export interface KeyProbeOptions {
  /** The node's own: a listener takes nobody in who shows none. */
  readonly privateKey: Uint8Array | KeyObject;
  readonly clock: Clock;
  readonly random: Random;
}

/** The key that an address has proven to hold, or why that is not known. */
export type KeyAnswer = { readonly peer: NodeId } | { readonly why: string };

/** Asks an address once whose key is there. Rejects only with the reason of a signal that aborts. */
export type KeyProbe = (
  address: Address,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
) => Promise<KeyAnswer>;

const validityMs = 60 * 60_000;

/**
 * Makes a probe that learns who is at an address: one TLS handshake on the channel of strangers, in which the other side proves its
 * key, and not a word after it. For addresses that come without a node, such as those of the DNS.
 */
export function keyProbe(options: KeyProbeOptions): KeyProbe {
  const { clock, random } = options;
  const key = loadPrivateKey(options.privateKey);
  return (address, { timeoutMs, signal }) => {
    const target = parseAddress(address);
    if (target === undefined) return Promise.resolve({ why: "not an address" });
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    const nowMs = clock.wallMs();
    return new Promise((resolve, reject) => {
      const socket = connect({
        ...target,
        ...selfSigned(key, nowMs - validityMs, 2 * validityMs, random.bytes(16)),
        ALPNProtocols: [alpnOfChannel.join],
        minVersion: "TLSv1.3",
        rejectUnauthorized: false,
        checkServerIdentity: () => undefined,
      });
      const finish = (settle: () => void): void => {
        cancel();
        signal?.removeEventListener("abort", onAbort);
        socket.destroy();
        settle();
      };
      const cancel = clock.schedule(timeoutMs, () =>
        finish(() => resolve({ why: `no answer within ${timeoutMs} ms` })),
      );
      const onAbort = (): void => finish(() => reject(signal?.reason as Error));
      signal?.addEventListener("abort", onAbort, { once: true });
      socket.once("secureConnect", () => {
        const proof = proofOf(socket);
        finish(() => resolve(proof.ok ? { peer: proof.peer } : { why: proof.why }));
      });
      socket.on("error", (error) => finish(() => resolve({ why: systemCode(error) })));
      socket.once("close", () => finish(() => resolve({ why: "closed during the handshake" })));
    });
  };
}
