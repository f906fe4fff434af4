import { createPrivateKey, createPublicKey, KeyObject, sign, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { InvalidValueError, type NodeId, parseNodeId } from "@revoada/fabric";

/** RFC 8410 §7: an ed25519 private key in PKCS #8, up to the 32 bytes of the seed. */
const pkcs8Prefix = Buffer.from("302e020100300506032b657004220420", "hex");
/** RFC 8410 §4: an ed25519 public key as SubjectPublicKeyInfo, up to its 32 bytes. */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex");
/** AlgorithmIdentifier of ed25519 (1.3.101.112), without parameters. */
const ed25519Algorithm = Buffer.from("300506032b6570", "hex");
/** basicConstraints, critical, cA false. */
const extensions = Buffer.from("a310300e300c0603551d130101ff04023000", "hex");
const commonName = Buffer.from("0603550403", "hex");

/** Key and certificate as `node:tls` takes them. */
export interface Credentials {
  readonly key: string;
  readonly cert: string;
}

/** Takes a 32-byte seed or an ed25519 private key. Throws `FABRIC_INVALID_VALUE`. */
export function loadPrivateKey(value: Uint8Array | KeyObject): KeyObject {
  if (value instanceof KeyObject) {
    if (value.type === "private" && value.asymmetricKeyType === "ed25519") return value;
    throw new InvalidValueError("privateKey", value.asymmetricKeyType ?? value.type, "an ed25519 private key");
  }
  if (!(value instanceof Uint8Array) || value.length !== 32) {
    // The value is a secret: only its shape may appear in a message.
    throw new InvalidValueError("privateKey", undefined, "an ed25519 seed of 32 bytes");
  }
  return createPrivateKey({ key: Buffer.concat([pkcs8Prefix, value]), format: "der", type: "pkcs8" });
}

/** The NodeId of an ed25519 key, or undefined for a key of another kind. */
export function nodeIdOfKey(key: KeyObject): NodeId | undefined {
  if (key.asymmetricKeyType !== "ed25519") return undefined;
  const spki = (key.type === "private" ? createPublicKey(key) : key).export({ format: "der", type: "spki" });
  if (spki.length !== spkiPrefix.length + 32 || !spki.subarray(0, spkiPrefix.length).equals(spkiPrefix))
    return undefined;
  return parseNodeId(spki.subarray(spkiPrefix.length).toString("hex"));
}

/** What the other end of a finished handshake has proven to be. */
export type PeerProof =
  | { readonly ok: true; readonly peer: NodeId }
  | { readonly ok: false; readonly why: "no certificate" | "not an ed25519 certificate" };

/**
 * Reads the proven key of a peer.
 *
 * TLS has checked that the peer holds the private key of this certificate (RFC 8446 §4.4.3). Names, dates and issuers in it are
 * not looked at: the key is the identity, and a wrong clock must not lock a node out.
 */
export function proofOf(socket: TLSSocket): PeerProof {
  let certificate: X509Certificate | undefined;
  try {
    certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return { ok: false, why: "no certificate" };
    const peer = nodeIdOfKey(certificate.publicKey);
    if (peer !== undefined) return { ok: true, peer };
  } catch {
    // A key that OpenSSL itself cannot take apart is none of ours.
  }
  return { ok: false, why: "not an ed25519 certificate" };
}

/** A self-signed X.509 v3 certificate over the node's own key, named by its NodeId. `serial` is 16 random bytes. */
export function selfSigned(key: KeyObject, notBeforeMs: number, validityMs: number, serial: Uint8Array): Credentials {
  const spki = createPublicKey(key).export({ format: "der", type: "spki" });
  const id = Buffer.from(spki.subarray(spkiPrefix.length).toString("hex"));
  const name = der(0x30, der(0x31, der(0x30, Buffer.concat([commonName, der(0x0c, id)]))));
  const validity = der(0x30, Buffer.concat([derTime(notBeforeMs), derTime(notBeforeMs + validityMs)]));
  const body = Buffer.concat([
    Buffer.from("a003020102", "hex"),
    derSerial(serial),
    ed25519Algorithm,
    name,
    validity,
    name,
    spki,
    extensions,
  ]);
  const certificate = der(0x30, body);
  const signature = der(0x03, Buffer.concat([Buffer.of(0), sign(null, certificate, key)]));
  const whole = der(0x30, Buffer.concat([certificate, ed25519Algorithm, signature]));
  return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert: new X509Certificate(whole).toString() };
}

function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >>> 8, length & 0xff), content]);
}

/** A positive INTEGER of fixed length: the first byte is kept from being 0 or having its sign bit set. */
function derSerial(serial: Uint8Array): Buffer {
  const bytes = Buffer.from(serial);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return der(0x02, bytes);
}

/** RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime afterwards. */
function derTime(ms: number): Buffer {
  const text = new Date(Math.max(0, ms)).toISOString().replace(/[-:T]/g, "").slice(0, 14);
  return text < "2050" ? der(0x17, Buffer.from(`${text.slice(2)}Z`)) : der(0x18, Buffer.from(`${text}Z`));
}
