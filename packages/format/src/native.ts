import type { FormatAdapter, PlainValue, ResourceDocument, ResourceRef } from "@revoada/fabric";
import { describeValue, formatResourceRef, InvalidValueError, parseResourceRef } from "@revoada/fabric";
import { decode as decodeCbor, encode as encodeCbor } from "cborg";
import { envelopeEnd } from "./cbor-shape.ts";
import { FormatInvalidError } from "./errors.ts";
import { isPlainObject, maxDocuments, PlainFault, toPlain } from "./plain.ts";
import { isKubernetesShape, resourceOf } from "./resource-identity.ts";
import { checkSize } from "./text.ts";

/** The first item of an envelope; it ends with the version. */
const envelopeMark = "revoada/resource/1";
const envelopePrefix = "revoada/resource/";

const decodeOptions = {
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
} as const;

/**
 * The native format: CBOR envelopes ["revoada/resource/1", reference, value], one after another. A value may be or hold bytes.
 *
 * What was decoded comes back byte for byte: the exact bytes of each document are kept, and written again where the document still says the
 * same. Other documents are written with sorted keys and shortest numbers.
 */
export function nativeFormat(): FormatAdapter {
  return { format: "native", decode, encode };
}

function decode(bytes: Uint8Array, source: string): readonly ResourceDocument[] {
  checkSize(bytes, source);
  const documents: ResourceDocument[] = [];
  let offset = 0;
  try {
    while (offset < bytes.length) {
      if (documents.length === maxDocuments) throw new PlainFault(`more than ${maxDocuments} documents`);
      const end = envelopeEnd(bytes, offset);
      documents.push(openEnvelope(bytes.subarray(offset, end)));
      offset = end;
    }
  } catch (error) {
    if (error instanceof PlainFault)
      throw new FormatInvalidError(source, `envelope at byte ${offset}: ${error.message}`);
    throw error;
  }
  if (documents.length === 0) throw new FormatInvalidError(source, "there is no document");
  return documents;
}

function openEnvelope(bytes: Uint8Array): ResourceDocument {
  let envelope: unknown;
  try {
    envelope = decodeCbor(bytes, decodeOptions);
  } catch (error) {
    throw new PlainFault(`not CBOR: ${error instanceof Error ? error.message : "unknown cause"}`);
  }
  const [mark, refValue, inner]: readonly unknown[] = Array.isArray(envelope) ? (envelope as readonly unknown[]) : [];
  if (typeof mark === "string" && mark.startsWith(envelopePrefix) && mark !== envelopeMark) {
    throw new PlainFault(`${describeValue(mark)} is of another version, this program knows ${envelopeMark}`);
  }
  if (!Array.isArray(envelope) || mark !== envelopeMark || envelope.length !== 3) {
    throw new PlainFault(`expected a list of ${describeValue(envelopeMark)}, a reference and a value`);
  }
  const value = toPlain(inner, { bytes: true });
  const ref = openRef(toPlain(refValue, { bytes: false }));
  checkAgreement(ref, value);
  return { ref, value, exact: new Uint8Array(bytes) };
}

function openRef(value: PlainValue): ResourceRef {
  if (!isPlainObject(value)) throw new PlainFault(`reference: expected a map, got ${describeValue(value)}`);
  const stranger = Object.keys(value).find((key) => !["group", "kind", "name", "namespace"].includes(key));
  if (stranger !== undefined) throw new PlainFault(`reference: no such field ${describeValue(stranger)}`);
  try {
    return parseResourceRef(value, "reference");
  } catch (error) {
    if (error instanceof InvalidValueError) throw new PlainFault(error.message);
    throw error;
  }
}

/** A value that names itself as Kubernetes does must not be filed under another name than the one that people read in it. */
function checkAgreement(ref: ResourceRef, value: PlainValue): void {
  if (!isKubernetesShape(value)) return;
  const own = resourceOf(value);
  if (formatResourceRef(own) === formatResourceRef(ref)) return;
  throw new PlainFault(`the reference is ${formatResourceRef(ref)}, the value calls itself ${formatResourceRef(own)}`);
}

function encode(documents: readonly ResourceDocument[]): Uint8Array {
  const parts = documents.map(encodeOne);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function encodeOne(document: ResourceDocument): Uint8Array {
  try {
    const ref = parseResourceRef(document.ref);
    const value = toPlain(document.value, { bytes: true });
    checkAgreement(ref, value);
    const fresh = seal(ref, value);
    return stillSays(document.exact, fresh) ? document.exact : fresh;
  } catch (error) {
    if (error instanceof PlainFault) throw new FormatInvalidError(formatResourceRef(document.ref), error.message);
    throw error;
  }
}

function seal(ref: ResourceRef, value: PlainValue): Uint8Array {
  return new Uint8Array(encodeCbor([envelopeMark, ref, value]));
}

/** True where the kept bytes are an envelope of this very reference and value: another adapter may have kept bytes of its own. */
function stillSays(exact: Uint8Array | undefined, fresh: Uint8Array): exact is Uint8Array {
  if (exact === undefined) return false;
  try {
    if (envelopeEnd(exact, 0) !== exact.length) return false;
    const { ref, value } = openEnvelope(exact);
    const again = seal(ref, value);
    return again.length === fresh.length && again.every((byte, index) => byte === fresh[index]);
  } catch (error) {
    if (error instanceof PlainFault) return false;
    throw error;
  }
}
