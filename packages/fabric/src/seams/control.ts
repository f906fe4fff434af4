import type { PlainValue } from "./format-adapter.ts";

/** One call of the control socket: a method by name, plain parameters, one answer or a stream of them. */
export type ControlHandler = (
  parameters: PlainValue,
  context: { readonly signal: AbortSignal },
) => Promise<PlainValue> | AsyncIterable<PlainValue>;

/** What a node can be asked locally, whatever its face. A method that is not there is `CONTROL_UNKNOWN_METHOD`. */
export interface Control {
  /** Registers a method; the returned function withdraws it. A second one of the same name throws `CONTROL_DUPLICATE_METHOD`. */
  register(method: string, handler: ControlHandler): () => void;
  methods(): readonly string[];
}
