import { connect } from "node:net";
import type { Address, Clock, ProbeResult } from "@revoada/fabric";
import { parseAddress } from "./address.ts";
import { systemCode } from "./errors.ts";
import type { SocketSet } from "./socket-set.ts";

/** What a probe needs of the transport. */
export interface ProbeOptions {
  readonly clock: Clock;
  readonly sockets: SocketSet;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Knocks at every address at once with a plain TCP connect, over which nothing is said.
 *
 * `refused` only where every address answered that nobody listens: one that is silent may be a host that is cut off.
 */
export function probeAddresses(addresses: readonly Address[], options: ProbeOptions): Promise<ProbeResult> {
  const { clock, sockets, timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    const closers: (() => void)[] = [];
    const finish = (settle: () => void): void => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
      for (const close of closers) close();
      settle();
    };
    const cancel = clock.schedule(timeoutMs, () => finish(() => resolve("unreachable")));
    const onAbort = (): void => finish(() => reject(signal?.reason as Error));
    signal?.addEventListener("abort", onAbort, { once: true });
    let waiting = addresses.length;
    let refused = 0;
    for (const address of addresses) {
      const target = parseAddress(address);
      if (target === undefined) continue;
      const socket = connect(target);
      sockets.add(socket);
      closers.push(() => socket.destroy());
      socket.once("connect", () => finish(() => resolve("open")));
      socket.once("error", (error) => {
        waiting -= 1;
        if (systemCode(error) === "ECONNREFUSED") refused += 1;
        if (waiting === 0) finish(() => resolve(refused === addresses.length ? "refused" : "unreachable"));
      });
    }
  });
}
