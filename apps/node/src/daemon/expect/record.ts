import { decodeCanonical, encodeCanonical } from "@revoada/attest-blake3";
import { FieldReader, isFabricError } from "@revoada/fabric";
import { maxBodyBytes, openFile, sealFile, type FileFormat } from "../../data-directory/sealed-file.ts";
import { NodeFileCorruptError } from "../../errors.ts";

const format: FileFormat = { magic: Buffer.from("RVDEXPCT", "latin1"), version: 1 };

/** The bytes of a record of the one genesis that this node proposes, or has promised to follow. */
export function encodeExpectRecord(genesis: Uint8Array): Uint8Array {
  return sealFile(format, encodeCanonical({ genesis }));
}

/** The genesis of a record. Throws `NODE_NEWER_FORMAT` or `NODE_FILE_CORRUPT`. */
export function decodeExpectRecord(bytes: Uint8Array, path: string): Uint8Array {
  const body = openFile(format, bytes, path);
  try {
    const fields = new FieldReader(decodeCanonical(new Uint8Array(body), { maxBytes: maxBodyBytes }), "expect");
    const genesis = fields.take("genesis");
    fields.finish();
    if (genesis instanceof Uint8Array) return genesis;
  } catch (error) {
    if (!isFabricError(error)) throw error;
  }
  throw new NodeFileCorruptError(path, "it holds no genesis");
}
