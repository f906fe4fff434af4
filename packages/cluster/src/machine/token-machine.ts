import {
  FabricError,
  parseNodeId,
  type ApplyContext,
  type Formation,
  type StoreReader,
  type StoreTransaction,
  type SubMachine,
  type TokenRecord,
  type Transition,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical, textKey } from "../codec.ts";
import { encodeResult, refusalOf } from "./result.ts";
import { trees } from "./trees.ts";

/** A token that does not let anybody in: unknown, expired, or used up. Outside it is always `JOIN_REFUSED`. */
export class TokenRefusedError extends FabricError {
  constructor(why: string) {
    super("TOKEN_REFUSED", why);
  }
}

const tokenId = /^[0-9a-f]{32}$/;
const maxTokens = 1024;

/** The token of an id as it is committed; undefined where there is none. */
export function readToken(store: StoreReader, id: string): TokenRecord | undefined {
  const bytes = store.get(trees.tokens, textKey(id));
  return bytes === undefined ? undefined : parseToken(decodeCanonical(bytes, "token"));
}

function parseToken(value: unknown): TokenRecord {
  const { tokenId: id, publicKey, expiresMs, usesLeft } = (value ?? {}) as Record<string, unknown>;
  if (typeof id !== "string" || !tokenId.test(id)) throw new TokenRefusedError("a token id is 32 hex characters");
  for (const number of [expiresMs, usesLeft]) {
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw new TokenRefusedError("expiry and uses are whole numbers");
  }
  return { tokenId: id, publicKey: parseNodeId(publicKey), expiresMs: expiresMs as number, usesLeft: usesLeft as number };
}

/** Says why a token does not let anybody in at this committed time; undefined where it does. */
export function tokenFault(record: TokenRecord | undefined, timeMs: number): string | undefined {
  if (record === undefined) return "the token is unknown";
  if (timeMs >= record.expiresMs) return `the token expired at ${record.expiresMs}`;
  return record.usesLeft < 1 ? "the token is used up" : undefined;
}

/**
 * Checks the token of an `admit` and gives back what takes one use off. A node that the formation knows needs none: it was let in
 * before, and the transition table says whether it may come back.
 */
export function chargeToken(transaction: StoreTransaction, transition: Transition, before: Formation, timeMs: number): readonly (() => void)[] {
  if (transition.verb !== "admit" || before.nodes.has(transition.node)) return [];
  const id = transition.admission.tokenId;
  const record = id === undefined ? undefined : readToken(transaction, id);
  const fault = tokenFault(record, timeMs);
  if (fault !== undefined || record === undefined) throw new TokenRefusedError(fault ?? "the token is unknown");
  return [
    () => {
      transaction.put(trees.tokens, textKey(record.tokenId), encodeCanonical({ ...record, usesLeft: record.usesLeft - 1 }));
    },
  ];
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

  apply(transaction: StoreTransaction, command: Uint8Array, _context: ApplyContext): Uint8Array {
    try {
      this.#apply(transaction, command);
      return encodeResult({ ok: true, generation: 0, height: 0 });
    } catch (error) {
      return encodeResult(refusalOf(error));
    }
  }

  #apply(transaction: StoreTransaction, bytes: Uint8Array): void {
    const value = (decodeCanonical(bytes, "token command") ?? {}) as Record<string, unknown>;
    if (value["version"] !== 1) throw new TokenRefusedError("a token command of an unknown version");
    if (value["type"] === "create") {
      const record = parseToken(value["record"]);
      if (readToken(transaction, record.tokenId) !== undefined) throw new TokenRefusedError("the token id is taken");
      if ([...transaction.range(trees.tokens, { limit: maxTokens })].length >= maxTokens) {
        throw new TokenRefusedError(`${maxTokens} tokens are the most that are kept`);
      }
      transaction.put(trees.tokens, textKey(record.tokenId), encodeCanonical(record));
    } else if (value["type"] === "revoke" && typeof value["tokenId"] === "string" && tokenId.test(value["tokenId"])) {
      if (!transaction.delete(trees.tokens, textKey(value["tokenId"]))) throw new TokenRefusedError("the token is unknown");
    } else {
      throw new TokenRefusedError("an unknown token command");
    }
  }

  committed(): void {}

  restored(): void {}
}
