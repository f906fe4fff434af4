import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  type Hash,
  type ShiftDecision,
  type StoreReader,
  type StoreTransaction,
  type Transition,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, orderedKey } from "../codec.ts";
import { trees } from "./trees.ts";

/** Why a shift was made: its kind, and the facts that it rested on. The chain holds the hash of it. */
export interface Decision {
  readonly kind: string;
  readonly reason: string;
  readonly inputs: ShiftDecision["inputs"];
}

/** A decision longer than this is not kept; its hash is in the chain all the same. */
const maxDecisionBytes = 16_384;
/** How many generations of the formation back decisions are kept. */
const keptGenerations = 4096;

/** The bytes that a command's `decisionHash` is of. */
export function encodeDecision(decision: Decision & { readonly transitions: readonly Transition[] }): Uint8Array {
  const { kind, transitions, reason, inputs } = decision;
  return encodeCanonical({ kind, transitions, reason, inputs: wholeNumbers(inputs) });
}

/** Canonical bytes hold whole numbers only. */
function wholeNumbers(inputs: ShiftDecision["inputs"]): ShiftDecision["inputs"] {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, value]) => [
      name,
      typeof value === "number" && !Number.isSafeInteger(value) ? String(value) : value,
    ]),
  );
}

/** A signed command together with the decision that it carries out. */
export function encodeDecided(command: Uint8Array, decision: Uint8Array): Uint8Array {
  return encodeCanonical({ command, decision: decision.length > maxDecisionBytes ? new Uint8Array(0) : decision });
}

/** Takes the two apart. Throws `FABRIC_INVALID_VALUE`. */
export function decodeDecided(body: Uint8Array): { readonly command: Uint8Array; readonly decision: Uint8Array } {
  const fields = new FieldReader(decodeCanonical(body, "decided"), "decided");
  const [command, decision] = [fields.take("command"), fields.take("decision")];
  fields.finish();
  if (!(command instanceof Uint8Array)) throw new InvalidValueError("decided.command", command, "bytes");
  if (!(decision instanceof Uint8Array) || decision.length > maxDecisionBytes)
    throw new InvalidValueError("decided.decision", decision, `at most ${maxDecisionBytes} bytes`);
  return { command, decision };
}

/** Keeps a decision, and lets those go that are old. */
export function keepDecision(transaction: StoreTransaction, baseGeneration: number, decision: Uint8Array): void {
  transaction.put(trees.decisions, orderedKey(baseGeneration), new Uint8Array(decision));
  const end = orderedKey(Math.max(0, baseGeneration - keptGenerations));
  for (const { key } of [...transaction.range(trees.decisions, { end })]) transaction.delete(trees.decisions, key);
}

/**
 * The decision that a command carried out, named by the generation that it was made for and the hash in the chain; undefined where it is not kept
 * here, or what is kept is something else.
 */
export function decisionOf(
  store: StoreReader,
  command: { readonly baseGeneration: number; readonly decisionHash: Hash },
  hash: (bytes: Uint8Array) => Hash,
): Decision | undefined {
  const bytes = store.get(trees.decisions, orderedKey(command.baseGeneration));
  if (bytes === undefined || hash(bytes) !== command.decisionHash) return undefined;
  return readDecision(bytes);
}

/** The decisions that are kept from a generation on, in order. What cannot be read, as from a build to come, is passed over. */
export function recentDecisions(store: StoreReader, fromGeneration: number): readonly Decision[] {
  const start = orderedKey(Math.max(0, fromGeneration));
  return [...store.range(trees.decisions, { start })].flatMap(({ value }) => {
    try {
      return [readDecision(value)];
    } catch (error) {
      if (isFabricError(error, "FABRIC_INVALID_VALUE")) return [];
      throw error;
    }
  });
}

function readDecision(bytes: Uint8Array): Decision {
  const fields = new FieldReader(decodeCanonical(bytes, "decision"), "decision");
  const inputs = fields.take("inputs");
  const kind = fields.string("kind", { maxLength: 64 });
  const reason = fields.string("reason", { maxLength: maxDecisionBytes });
  return { kind, reason, inputs: plainInputs(inputs) };
}

function plainInputs(values: unknown): ShiftDecision["inputs"] {
  if (typeof values !== "object" || values === null) throw new InvalidValueError("decision.inputs", values, "a map");
  const plain: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries(values) as [string, unknown][]) {
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
      throw new InvalidValueError(`decision.inputs.${name}`, value, "a text, a number or a switch");
    plain[name] = value;
  }
  return plain;
}
