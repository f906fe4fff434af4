/** Time, as a component may see it. Cores get numbers; drivers get this. */
export interface Clock {
  /** Milliseconds from an arbitrary start, never going back, fractional. Stops in suspend on some systems. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
  /** Runs `callback` once, no earlier than `delayMs` from now. The returned function cancels it and may be called twice. */
  schedule(delayMs: number, callback: () => void): () => void;
  /** Runs `callback` in a later turn, after input that is already waiting has been received. */
  nextTurn(callback: () => void): void;
}

/** A source of random values. The simulator's is seeded; production's is the operating system's. */
export interface Random {
  /** Uniform in [0, 2^32). */
  uint32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  /** `length` random bytes, at most 65,536. */
  bytes(length: number): Uint8Array;
}
