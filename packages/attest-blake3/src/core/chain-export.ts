import type { ClusterId, Identity, NodeId, SignatureVerifier } from "@revoada/fabric";
import { shortId } from "@revoada/fabric";
import type { CanonicalValue } from "./canonical.ts";
import { copyBytes, encodeCanonical } from "./canonical.ts";
import type { ChainRecord, ChainRecordKind } from "./chain-file.ts";
import { maxBytesOf } from "./chain-file.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, FieldList, openRecord } from "./fields.ts";
import { hashBytes, idBytes } from "./hash.ts";
import { maxExportBytes, maxExportRecords } from "./limits.ts";
import { signatureLength } from "./signed.ts";

/**
 * A chain as one node hands it over, a canonical CBOR list: domain, cluster, exporter, time, first and last height, records, signature. The signature
 * is over the hash of all bytes before it. The blocks prove themselves; the signature says who handed this file over and when, and that it is still
 * whole.
 */
export interface ChainExport {
  readonly clusterId: ClusterId;
  readonly exporter: NodeId;
  /** By the exporter's own clock, milliseconds since the epoch. */
  readonly exportedMs: number;
  /** Heights of the first and the last block; where there is none, `to` is one less than `from`. */
  readonly from: number;
  readonly to: number;
  readonly records: readonly ChainRecord[];
  readonly signature: Uint8Array;
}

/** What a chain is made of. */
export const recordKinds: readonly ChainRecordKind[] = ["genesis", "block", "seal", "cosignature", "checkpoint", "hop"];
/** The signature is the last item: a head of two bytes and 64 more. */
const signatureItemLength = 2 + signatureLength;

/** What the exporter signs: domain, and the hash of all that stands before the signature. */
function exportStatement(file: Uint8Array): Uint8Array {
  return encodeCanonical([
    domainOf("export-statement"),
    hashBytes(file.subarray(0, file.length - signatureItemLength)),
  ]);
}

/** The bytes of an export with this signature. Throws `ATTEST_NOT_CANONICAL`. */
export function encodeExport(parts: ChainExport): Uint8Array {
  return encodeCanonical([
    domainOf("export"),
    idBytes(parts.clusterId, 32),
    idBytes(parts.exporter, 32),
    parts.exportedMs,
    parts.from,
    parts.to,
    parts.records.map(({ kind, bytes }) => [kind, bytes]),
    parts.signature,
  ]);
}

/** Signs an export. Its exporter is `identity`. */
export function signExport(parts: Omit<ChainExport, "signature" | "exporter">, identity: Identity): Uint8Array {
  const file = encodeExport({ ...parts, exporter: identity.id, signature: new Uint8Array(signatureLength) });
  // What would be refused when read is refused before it is signed.
  readExport(file);
  file.set(identity.sign(exportStatement(file)), file.length - signatureLength);
  return file;
}

const listOfEight = 0x88;

/** True where bytes begin as an export of any version does. */
export function beginsAsExport(bytes: Uint8Array): boolean {
  const prefix = "revoada/export/";
  // A head of the list, a head of the text: one byte each.
  if (bytes[0] !== listOfEight) return false;
  for (let index = 0; index < prefix.length; index += 1)
    if (bytes[index + 2] !== prefix.charCodeAt(index)) return false;
  return true;
}

/** Decodes an export; its signature is judged by {@link checkExport}, its records by whoever replays them. Throws `CHAIN_INVALID`. */
export function readExport(bytes: Uint8Array): ChainExport {
  return decodingAt(0, "malformed", () => {
    const fields = openRecord(bytes, "export", { maxBytes: maxExportBytes });
    const parts = {
      clusterId: fields.id<ClusterId>("clusterId", 32),
      exporter: fields.id<NodeId>("exporter", 32),
      exportedMs: fields.counter("exportedMs"),
      from: fields.counter("from", 1),
      to: fields.counter("to"),
      records: fields.list("records", { least: 1, most: maxExportRecords }).map(readRecord),
      signature: copyBytes(fields.view("signature", { least: signatureLength, most: signatureLength })),
    };
    fields.finish();
    return parts;
  });
}

function readRecord(value: CanonicalValue, index: number): ChainRecord {
  const fields = new FieldList(value, `export.records[${index}]`);
  const kind = fields.oneOf("kind", recordKinds);
  const bytes = fields.view("bytes", { least: 1, most: maxBytesOf[kind] });
  fields.finish();
  return { kind, bytes };
}

/** Refuses with `bad-export` unless the export bears the signature of its exporter. */
export function checkExport(
  file: Uint8Array,
  { exporter, signature, to }: ChainExport,
  verifier: SignatureVerifier,
): void {
  if (verifier.verify(exporter, exportStatement(file), signature)) return;
  refuse("bad-export", to, `the file is not as ${shortId(exporter)} handed it over: its signature is wrong`);
}
