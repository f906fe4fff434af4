import { distribution } from "../statistics.ts";
import type { BulkResult, PaceResult, Place } from "./orders.ts";

/** One end of a program: answers requests with what it was asked, takes in what is sent in bulk, and does both to its peer. */
export interface Endpoint {
  open(): Promise<Place>;
  meet(peers: readonly Place[]): Promise<void>;
  /** Asks the first peer, which answers with the same bytes. */
  request(payload: Uint8Array): Promise<Uint8Array>;
  /** Sends messages of so many bytes to the first peer for a time; resolves with what the peer says that it got. */
  bulk(messageBytes: number, forMs: number): Promise<number>;
}

/** The time until the peer has said that it holds every byte counts. */
export async function timedBulk(endpoint: Endpoint, messageBytes: number, forMs: number): Promise<BulkResult> {
  const beganMs = performance.now();
  const bytes = await endpoint.bulk(messageBytes, forMs);
  return { bytes, tookMs: performance.now() - beganMs };
}

/** Asks at a steady pace, whatever became of the request before: a loop that waits would ask less when answers are slow. */
export async function pace(
  endpoint: Endpoint,
  { everyMs, forMs, payloadBytes }: { readonly everyMs: number; readonly forMs: number; readonly payloadBytes: number },
): Promise<PaceResult> {
  const payload = new Uint8Array(payloadBytes).fill(7);
  const latencies: number[] = [];
  let failed = 0;
  const asked: Promise<void>[] = [];
  const ask = async (): Promise<void> => {
    const beganMs = performance.now();
    try {
      await endpoint.request(payload);
      latencies.push(performance.now() - beganMs);
    } catch {
      failed += 1;
    }
  };
  await new Promise<void>((resolve) => {
    const endMs = performance.now() + forMs;
    const timer = setInterval(() => {
      if (performance.now() < endMs) return void asked.push(ask());
      clearInterval(timer);
      resolve();
    }, everyMs);
  });
  await Promise.all(asked);
  const { samples, p50, p99, worst } = distribution(latencies);
  return { requests: samples, failed, p50Ms: p50, p99Ms: p99, worstMs: worst };
}
