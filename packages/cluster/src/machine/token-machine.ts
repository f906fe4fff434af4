import {
  parseNodeId,
  type ApplyContext,
  type Formation,
  type FormationStep,
  type LimitedRole,
  type StoreReader,
  type StoreTransaction,
  type SubMachine,
  type TokenRecord,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, textKey, textOfKey } from "../codec.ts";
import { MachineRefusal, readStored, settle, type CheckedCommand } from "./result.ts";
import { trees } from "./trees.ts";

/** A token that does not let anybody in: unknown, expired, or used up. Outside it is always `JOIN_REFUSED`. */
export class TokenRefusedError extends MachineRefusal {
  constructor(why: string) {
    super("TOKEN_REFUSED", why);
  }
}

const tokenId = /^[0-9a-f]{32}$/;
/** One line that a terminal shows as it is, as far as this version of Node knows: not for what all replicas have to judge alike. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]{1,64}$/u;
/** What is certain for ever: no control characters, no other line, no change of direction. */
const oneLine = /^[^\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]{1,64}$/u;
const labelRule = "a label is one printable line of at most 64 characters";
const maxTokens = 1024;
const limitedRoles: readonly LimitedRole[] = ["worker", "observer"];

/** For whoever makes a token. Throws `TOKEN_REFUSED`. */
export function checkLabel(label: string): void {
  if (!printable.test(label)) throw new TokenRefusedError(labelRule);
}

/** The token of an id as it is committed; undefined where there is none. */
export function readToken(store: StoreReader, id: string): TokenRecord | undefined {
  const bytes = store.get(trees.tokens, textKey(id));
  return bytes === undefined ? undefined : readStored("token", () => parseToken(decodeCanonical(bytes, "token")));
}

/** Every token that is kept, by id. */
export function listTokens(store: StoreReader): readonly TokenRecord[] {
  return [...store.range(trees.tokens)].flatMap(({ key }) => readToken(store, textOfKey(key)) ?? []);
}

function parseToken(value: unknown): TokenRecord {
  const { tokenId: id, publicKey, expiresMs, usesLeft, label, limitedTo } = (value ?? {}) as Record<string, unknown>;
  if (typeof id !== "string" || !tokenId.test(id)) throw new TokenRefusedError("a token id is 32 hex characters");
  for (const number of [expiresMs, usesLeft]) {
    if (!Number.isSafeInteger(number) || (number as number) < 0)
      throw new TokenRefusedError("expiry and uses are whole numbers");
  }
  if (label !== undefined && (typeof label !== "string" || !oneLine.test(label)))
    throw new TokenRefusedError(labelRule);
  if (limitedTo !== undefined && !limitedRoles.includes(limitedTo as LimitedRole))
    throw new TokenRefusedError(`a token is limited to one of ${limitedRoles.join(", ")}`);
  return {
    tokenId: id,
    publicKey: parseNodeId(publicKey),
    expiresMs: expiresMs as number,
    usesLeft: usesLeft as number,
    ...(label === undefined ? {} : { label }),
    ...(limitedTo === undefined ? {} : { limitedTo: limitedTo as LimitedRole }),
  };
}

/** Says why a token does not let anybody in at this committed time; undefined where it does. */
export function tokenFault(record: TokenRecord | undefined, timeMs: number): string | undefined {
  if (record === undefined) return "the token is unknown";
  if (timeMs >= record.expiresMs) return `the token expired at ${record.expiresMs}`;
  return record.usesLeft < 1 ? "the token is used up" : undefined;
}

/**
 * Checks the token of each `admit` that lets a node in and gives back the records of those tokens with their uses taken off. What the
 * token limits a node to is what it must be admitted as: no leader lets a worker's token make a master. A node that the formation knows
 * right before its `admit` needs none: it was let in before, and the transition table says whether it may come back.
 */
export function chargeTokens(
  store: StoreReader,
  before: Formation,
  steps: readonly FormationStep[],
  timeMs: number,
): readonly TokenRecord[] {
  const charged = new Map<string, TokenRecord>();
  let { nodes } = before;
  for (const { transition, formation } of steps) {
    const known = nodes.has(transition.node);
    ({ nodes } = formation);
    if (transition.verb !== "admit" || known) continue;
    const id = transition.admission.tokenId;
    const record = id === undefined ? undefined : (charged.get(id) ?? readToken(store, id));
    const fault = tokenFault(record, timeMs);
    if (fault !== undefined || record === undefined) throw new TokenRefusedError(fault ?? "the token is unknown");
    if (transition.admission.limitedTo !== record.limitedTo)
      throw new TokenRefusedError(
        `the token lets in ${record.limitedTo ?? "any role"}, not ${transition.admission.limitedTo ?? "any role"}`,
      );
    charged.set(record.tokenId, { ...record, usesLeft: record.usesLeft - 1 });
  }
  return [...charged.values()];
}

/** Writes token records. */
export function writeTokens(transaction: StoreTransaction, records: readonly TokenRecord[]): void {
  for (const record of records) transaction.put(trees.tokens, textKey(record.tokenId), encodeCanonical(record));
}

/** Ends every token. */
export function dropTokens(transaction: StoreTransaction): void {
  for (const { key } of [...transaction.range(trees.tokens)]) transaction.delete(trees.tokens, key);
}

/** What the token sub-machine takes: a new token's public half, or the end of one. */
export type TokenCommand =
  | { readonly version: 1; readonly type: "create"; readonly record: TokenRecord }
  | { readonly version: 1; readonly type: "revoke"; readonly tokenId: string };

export function encodeTokenCommand(command: TokenCommand): Uint8Array {
  return encodeCanonical(command);
}

/** Join tokens: the cluster holds their public halves only. */
export class TokenMachine implements SubMachine {
  readonly name = "tokens";
  readonly trees: readonly string[] = [trees.tokens];

  apply(transaction: StoreTransaction, command: Uint8Array, context: ApplyContext): Uint8Array {
    return settle(() => {
      const write = this.#check(transaction, command, context);
      return { result: { ok: true, generation: 0, height: 0 }, write };
    });
  }

  #check(transaction: StoreTransaction, bytes: Uint8Array, { timeMs }: ApplyContext): CheckedCommand["write"] {
    const value = (decodeCanonical(bytes, "token command") ?? {}) as Record<string, unknown>;
    if (value["version"] !== 1) throw new TokenRefusedError("a token command of an unknown version");
    if (value["type"] === "create") return this.#checkCreate(transaction, parseToken(value["record"]), timeMs);
    const id = value["tokenId"];
    if (value["type"] !== "revoke" || typeof id !== "string" || !tokenId.test(id))
      throw new TokenRefusedError("an unknown token command");
    if (readToken(transaction, id) === undefined) throw new TokenRefusedError("the token is unknown");
    return () => void transaction.delete(trees.tokens, textKey(id));
  }

  /** Where there is no room, tokens that let nobody in any more make it. */
  #checkCreate(transaction: StoreTransaction, record: TokenRecord, timeMs: number): CheckedCommand["write"] {
    if (readToken(transaction, record.tokenId) !== undefined) throw new TokenRefusedError("the token id is taken");
    const ids = [...transaction.range(trees.tokens)].map(({ key }) => textOfKey(key));
    const dead =
      ids.length < maxTokens ? [] : ids.filter((id) => tokenFault(readToken(transaction, id), timeMs) !== undefined);
    if (ids.length - dead.length >= maxTokens)
      throw new TokenRefusedError(`${maxTokens} tokens are the most that are kept`);
    return () => {
      for (const id of dead) transaction.delete(trees.tokens, textKey(id));
      writeTokens(transaction, [record]);
    };
  }

  committed(): void {}

  restored(): void {}
}
