import type { ClusterId, Hash, Identity, JoinToken, NodeId, SignatureVerifier, TokenRecord } from "@revoada/fabric";
import { InvalidValueError, isFabricError } from "@revoada/fabric";
import { NotCanonicalError, TokenInvalidError } from "../errors.ts";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { copyBytes, encodeCanonical, equalBytes } from "./canonical.ts";
import { domainOf, FieldList, idList, openRecord } from "./fields.ts";
import { hashBytes, hexOf, idBytes } from "./hash.ts";

const prefix = "rvd1";
const checksumLength = 4;
const seedLength = 32;
const maxTokenBytes = 8 * 1024;
const maxTokenCharacters = 12 * 1024;
const maxAddresses = 32;
const maxAddressBytes = 255;
const maxVoters = 64;
const maxRecoveries = 32;
const tokenRandomLength = 48;
/** A TLS exporter value has 32 bytes; nothing shorter than 16 binds a connection. */
const channelBindingLength = { least: 16, most: 64 };

const addressPattern = /^[\x21-\x7e]+$/;

/** What a token is made from. */
export interface TokenInput {
  readonly clusterId: ClusterId;
  readonly addresses: readonly string[];
  readonly voters: readonly NodeId[];
  readonly expiresMs: number;
  readonly uses: number;
  /** 48 random bytes: 16 for the id, 32 for the seed. */
  readonly random: Uint8Array;
  /** Hashes of the recovery blocks that a newcomer may believe. */
  readonly recoveries?: readonly Hash[];
}

/** Makes a token and what the cluster stores of it. Throws `FABRIC_INVALID_VALUE`, or `TOKEN_INVALID` for parts out of bounds. */
export function createToken(
  input: TokenInput,
  identityOf: (seed: Uint8Array) => Identity,
): { readonly token: JoinToken; readonly record: TokenRecord } {
  if (input.random.length !== tokenRandomLength)
    throw new InvalidValueError("random", input.random, `${tokenRandomLength} bytes`);
  checkCount("expiresMs", input.expiresMs, 0);
  checkCount("uses", input.uses, 1);
  const tokenId = hexOf(input.random.subarray(0, 16));
  const seed = copyBytes(input.random.subarray(16));
  const { clusterId, addresses, voters } = input;
  const recoveries = input.recoveries ?? [];
  const token: JoinToken = {
    clusterId,
    addresses: [...addresses],
    voters: [...voters],
    tokenId,
    seed,
    ...(recoveries.length === 0 ? {} : { recoveries }),
  };
  // What a newcomer would refuse is never handed out.
  encodeToken(token);
  const publicKey = identityOf(seed).id;
  return { token, record: { tokenId, publicKey, expiresMs: input.expiresMs, usesLeft: input.uses } };
}

/** One line: `rvd1`, then base64url of the token's canonical bytes and 4 bytes of their BLAKE3. */
export function encodeToken(token: JoinToken): string {
  const body = refusingAsToken(() => {
    const bytes = encodeCanonical([
      domainOf("token"),
      idBytes(token.clusterId, 32),
      [...token.addresses],
      token.voters.map((voter) => idBytes(voter, 32)),
      idBytes(token.tokenId, 16),
      token.seed,
      // Only where there are any: tokens of clusters that never lost their majority are as they always were.
      ...(token.recoveries === undefined ? [] : [token.recoveries.map((hash) => idBytes(hash, 32))]),
    ]);
    readBody(bytes);
    return bytes;
  });
  const text = new Uint8Array(body.length + checksumLength);
  text.set(body, 0);
  text.set(hashBytes(body).subarray(0, checksumLength), body.length);
  return prefix + toBase64url(text);
}

/** Reads a token; white space around it, as files and terminals leave it, does not matter. Throws `TOKEN_INVALID`. */
export function decodeToken(text: string): JoinToken {
  if (typeof text !== "string" || text.length > maxTokenCharacters) {
    throw new TokenInvalidError(`a join token is a text of at most ${maxTokenCharacters} characters`);
  }
  const line = text.trim();
  if (!line.startsWith(prefix)) {
    const version = /^rvd([0-9]{1,4})/.exec(line)?.[1];
    if (version === undefined) throw new TokenInvalidError(`a join token begins with ${prefix}`);
    throw new TokenInvalidError(`a join token of version ${version}, this program knows version 1`);
  }
  const bytes = fromBase64url(line.slice(prefix.length));
  if (bytes === undefined || bytes.length <= checksumLength) {
    throw new TokenInvalidError("the join token is cut or holds characters that no token has");
  }
  const body = bytes.subarray(0, -checksumLength);
  if (!equalBytes(hashBytes(body).subarray(0, checksumLength), bytes.subarray(-checksumLength))) {
    throw new TokenInvalidError("the join token is mistyped or cut: its checksum is wrong");
  }
  return refusingAsToken(() => readBody(body));
}

function readBody(body: Uint8Array): JoinToken {
  const fields = openRecord(body, "token", { maxBytes: maxTokenBytes });
  const clusterId = fields.id<ClusterId>("clusterId", 32);
  const addressValues = fields.list("addresses", { least: 0, most: maxAddresses });
  const addressFields = new FieldList(addressValues, "token.addresses");
  const addresses = addressValues.map((_, index) => addressFields.text(String(index), maxAddressBytes));
  const unfit = addresses.findIndex((address) => !addressPattern.test(address));
  if (unfit >= 0) throw new NotCanonicalError(`token.addresses.${unfit}: expected printable ASCII without spaces`);
  const token = {
    clusterId,
    addresses,
    voters: idList<NodeId>(fields.list("voters", { least: 1, most: maxVoters }), 32, "token.voters"),
    tokenId: fields.id<string>("tokenId", 16),
    seed: fields.bytes("seed", { least: seedLength, most: seedLength }),
  };
  const recoveries = fields.hasMore()
    ? idList<Hash>(fields.list("recoveries", { least: 1, most: maxRecoveries }), 32, "token.recoveries")
    : undefined;
  fields.finish();
  return recoveries === undefined ? token : { ...token, recoveries };
}

/** Signs, with the token's key, that this node stands at the other end of this very connection. */
export function proveToken(
  token: JoinToken,
  channelBinding: Uint8Array,
  node: NodeId,
  identityOf: (seed: Uint8Array) => Identity,
): Uint8Array {
  if (!bindsChannel(channelBinding)) {
    const { least, most } = channelBindingLength;
    throw new InvalidValueError("channelBinding", channelBinding, `${least} to ${most} bytes`);
  }
  return identityOf(token.seed).sign(proofStatement(token.tokenId, token.clusterId, channelBinding, node));
}

/** True where `proof` was made with the token's key for this connection, cluster and node. Expiry and uses are for the caller. */
export function checkTokenProof(
  record: TokenRecord,
  claim: {
    readonly clusterId: ClusterId;
    readonly channelBinding: Uint8Array;
    readonly node: NodeId;
    readonly proof: Uint8Array;
  },
  verifier: SignatureVerifier,
): boolean {
  if (!bindsChannel(claim.channelBinding)) return false;
  let statement: Uint8Array;
  try {
    statement = proofStatement(record.tokenId, claim.clusterId, claim.channelBinding, claim.node);
  } catch (error) {
    if (isFabricError(error, "ATTEST_NOT_CANONICAL")) return false;
    throw error;
  }
  return verifier.verify(record.publicKey, statement, claim.proof);
}

function proofStatement(tokenId: string, clusterId: ClusterId, channelBinding: Uint8Array, node: NodeId): Uint8Array {
  return encodeCanonical([
    domainOf("token-proof"),
    idBytes(tokenId, 16),
    channelBinding,
    idBytes(clusterId, 32),
    idBytes(node, 32),
  ]);
}

function bindsChannel(value: unknown): boolean {
  return (
    value instanceof Uint8Array &&
    value.length >= channelBindingLength.least &&
    value.length <= channelBindingLength.most
  );
}

function checkCount(path: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new InvalidValueError(path, value, `an integer from ${least}`);
}

/** The cause is left out: it may quote parts of the token. */
function refusingAsToken<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isFabricError(error, "ATTEST_NOT_CANONICAL", "ATTEST_UNKNOWN_VERSION"))
      throw new TokenInvalidError(error.message);
    throw error;
  }
}
