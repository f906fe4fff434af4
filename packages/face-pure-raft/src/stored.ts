import { FormatInvalidError } from "@revoada/format";
import {
  type FormatRegistry,
  formatResourceRef,
  isFabricError,
  type PlainValue,
  type ResourceDocument,
  type ResourceFormat,
  type ResourceRef,
} from "@revoada/fabric";
import { decode, encode, rfc8949EncodeOptions } from "cborg";
import { FaceNewerFormatError, FaceStoredInvalidError } from "./errors.ts";

const storedVersion = 1;
const encodeOptions = { ...rfc8949EncodeOptions, float64: true };
const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowNaN: false,
  allowInfinity: false,
  allowBigInt: false,
  rejectDuplicateMapKeys: true,
};

/** What the catalog holds of a resource: the format in which it came, and either its exact bytes or its value. */
export type StoredValue =
  | { readonly format: ResourceFormat; readonly exact: Uint8Array }
  | { readonly format: ResourceFormat; readonly value: PlainValue };

/**
 * The bytes that the catalog holds for a document: canonical CBOR [version, format, kind, content].
 *
 * Kind 0: `content` is the value; kind 1: the exact bytes of a format that must come back byte for byte, from which the value is read
 * when another format is asked for. One document has one encoding, so that applying the same again is seen to change nothing.
 */
export function encodeStored(format: ResourceFormat, document: ResourceDocument): Uint8Array {
  const { exact, value } = document;
  return encode([storedVersion, format, ...(exact === undefined ? [0, value] : [1, exact])], encodeOptions);
}

/** Reads what {@link encodeStored} wrote. Throws `FACE_STORED_INVALID` or `FACE_NEWER_FORMAT`, naming the resource. */
export function decodeStored(bytes: Uint8Array, ref: ResourceRef): StoredValue {
  let fields: unknown;
  try {
    fields = decode(bytes, decodeOptions);
  } catch (error) {
    throw new FaceStoredInvalidError(ref, error instanceof Error ? error.message : "not CBOR");
  }
  if (!Array.isArray(fields)) throw new FaceStoredInvalidError(ref, "not a list");
  const [version, format, kind, content] = fields as readonly unknown[];
  if (typeof version === "number" && version > storedVersion)
    throw new FaceNewerFormatError(ref, version, storedVersion);
  if (version !== storedVersion || fields.length !== 4)
    throw new FaceStoredInvalidError(ref, "not of this version's shape");
  if (typeof format !== "string") throw new FaceStoredInvalidError(ref, "its format is not text");
  if (kind === 0) return { format: format as ResourceFormat, value: content as PlainValue };
  if (kind === 1 && content instanceof Uint8Array) return { format: format as ResourceFormat, exact: content };
  throw new FaceStoredInvalidError(ref, "its content is of an unknown kind");
}

/**
 * A stored value as a body. In its own format exact bytes come back as they were; in others the value is transcoded.
 *
 * Throws `FORMAT_UNSUPPORTED` for a format without an adapter, and `FORMAT_INVALID` for a value that the format cannot say.
 */
export function bodyOf(
  formats: FormatRegistry,
  ref: ResourceRef,
  stored: StoredValue,
  format: ResourceFormat,
): Uint8Array {
  if ("exact" in stored && stored.format === format) return stored.exact;
  const adapter = formats.get(format);
  return adapter.encode([{ ref, value: sorted(valueOf(formats, ref, stored)) }]);
}

/** As {@link bodyOf}; where the format cannot say the value, in the format in which it was applied: one resource must not hide all others. */
export function bodyOrOwn(
  formats: FormatRegistry,
  ref: ResourceRef,
  stored: StoredValue,
  format: ResourceFormat,
): { readonly format: ResourceFormat; readonly body: Uint8Array } {
  try {
    return { format, body: bodyOf(formats, ref, stored, format) };
  } catch (error) {
    if (format === stored.format || !isFabricError(error, "FORMAT_INVALID")) throw error;
    return { format: stored.format, body: bodyOf(formats, ref, stored, stored.format) };
  }
}

function valueOf(formats: FormatRegistry, ref: ResourceRef, stored: StoredValue): PlainValue {
  if ("value" in stored) return stored.value;
  const [document] = formats.get(stored.format).decode(stored.exact, formatResourceRef(ref));
  if (document === undefined) throw new FormatInvalidError(formatResourceRef(ref), "there is no document");
  return document.value;
}

/** Canonical CBOR has its own order of keys, shorter ones first; people are shown the alphabet. */
function sorted(value: PlainValue): PlainValue {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return (value as readonly PlainValue[]).map(sorted);
  const fields = Object.entries(value as { readonly [key: string]: PlainValue });
  return Object.fromEntries(
    fields.toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([key, item]) => [key, sorted(item)]),
  );
}
