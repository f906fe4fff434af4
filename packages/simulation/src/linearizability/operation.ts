/** One operation of a client on one register, as the client saw it. */
export interface Operation {
  readonly id: number;
  readonly key: string;
  readonly call: Call;
  /** When it was sent. Invocations and responses of a history are numbered in the order in which they happened. */
  readonly invokedAt: number;
  /** When it was answered; Infinity where its fate is unknown. */
  readonly respondedAt: number;
  /** What was answered; undefined where that is unknown. */
  readonly answer?: string;
}

/** What a client may ask of a register. A value is text; a register that was never written holds none. */
export type Call =
  | { readonly kind: "get" }
  | { readonly kind: "put"; readonly value: string }
  /** Answers `true`, or `false:` and the value that stood in the way. */
  | { readonly kind: "compare-and-swap"; readonly expected: string; readonly value: string }
  /** Answers the whole new value. */
  | { readonly kind: "append"; readonly value: string };

/** How a register that holds nothing reads. */
export const emptyValue = "";

/** What becomes of a register that holds `state`, and what the caller is told: the sequential specification. */
export function applyCall(state: string, call: Call): { readonly state: string; readonly answer: string } {
  switch (call.kind) {
    case "get":
      return { state, answer: state };
    case "put":
      return { state: call.value, answer: "true" };
    case "compare-and-swap":
      if (state === call.expected) return { state: call.value, answer: "true" };
      return { state, answer: `false:${state}` };
    case "append": {
      const longer = state + call.value;
      return { state: longer, answer: longer };
    }
  }
}
