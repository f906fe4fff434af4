import type { Protocol } from "../seams/transport.ts";

/** An error as it travels. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** What passes between two transports. Ids are unique in their connection. */
export type Frame =
  | { readonly type: "message"; readonly protocol: Protocol; readonly payload: Uint8Array }
  | { readonly type: "request"; readonly id: number; readonly protocol: Protocol; readonly payload: Uint8Array }
  | { readonly type: "response"; readonly id: number; readonly payload: Uint8Array }
  | { readonly type: "failure"; readonly id: number; readonly failure: Failure }
  | { readonly type: "stream-open"; readonly id: number; readonly protocol: Protocol }
  | { readonly type: "stream-accepted"; readonly id: number }
  | { readonly type: "stream-refused"; readonly id: number; readonly failure: Failure }
  | { readonly type: "stream-data"; readonly id: number; readonly payload: Uint8Array }
  | { readonly type: "stream-credit"; readonly id: number; readonly bytes: number }
  | { readonly type: "stream-end"; readonly id: number }
  | { readonly type: "stream-abort"; readonly id: number }
  /** The kernel's own last word: no more comes from there. */
  | { readonly type: "fin" };

/** What a message adds to a queue beside its payload, so that empty ones are bounded too. */
const overheadBytes = 32;

/** Bytes that a message takes up in a queue. */
export function messageBytes(payload: Uint8Array): number {
  return overheadBytes + payload.length;
}

/** Bytes that a frame takes up in a queue. */
export function frameBytes(frame: Frame): number {
  return "payload" in frame ? messageBytes(frame.payload) : overheadBytes;
}
