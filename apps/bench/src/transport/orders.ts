import type { Address, NodeId } from "@revoada/fabric";
import type { LoadOptions } from "../load.ts";

/** Which of the two programs a process runs. */
export type ProgramName = "transport" | "bare";

/** Where an endpoint is found, and who answers there. */
export interface Place {
  readonly id: NodeId;
  readonly addresses: readonly Address[];
}

/** How fast bytes went from one process to the other. */
export interface BulkResult {
  readonly bytes: number;
  readonly tookMs: number;
}

/** Latencies of requests that were made at a steady pace. */
export interface PaceResult {
  readonly requests: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

/** What a process is told to do. */
export type Order =
  | { readonly type: "open"; readonly program: ProgramName; readonly seed: Uint8Array }
  /** Those who may speak to it, and where they are found. */
  | { readonly type: "meet"; readonly peers: readonly Place[] }
  | { readonly type: "load"; readonly options: LoadOptions }
  | { readonly type: "bulk"; readonly messageBytes: number; readonly forMs: number }
  | { readonly type: "pace"; readonly everyMs: number; readonly forMs: number; readonly payloadBytes: number }
  | { readonly type: "attack"; readonly seed: Uint8Array; readonly victim: Place; readonly attack: Attack }
  | { readonly type: "end-attack" };

/**
 * `strangers`: keys that are not admitted, hello by hello, and bytes that are no TLS. `member`: a key that is admitted sends
 * random frames, connection after connection.
 */
export type Attack = "strangers" | "member";

/** What an attacker has got rid of. */
export interface AttackResult {
  readonly connections: number;
  readonly frames: number;
}
