import { createHash, timingSafeEqual } from "node:crypto";
import { NewerFormatError, NodeFileCorruptError } from "../errors.ts";

/** How a kind of file begins. */
export interface FileFormat {
  /** 8 bytes. */
  readonly magic: Buffer;
  /** The version that this release writes and the newest that it reads. */
  readonly version: number;
}

// 8 bytes magic, 2 bytes version and 4 bytes length (big-endian), a body of that length, SHA-256 of all before it.
const magicLength = 8;
const headerLength = magicLength + 6;
const checksumLength = 32;
export const maxBodyBytes: number = 64 * 1024 * 1024;

function checksum(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** The bytes of a file that holds `body`. */
export function sealFile({ magic, version }: FileFormat, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(headerLength + body.length + checksumLength);
  magic.copy(bytes, 0);
  bytes.writeUInt16BE(version, magicLength);
  bytes.writeUInt32BE(body.length, magicLength + 2);
  bytes.set(body, headerLength);
  bytes.set(checksum(bytes.subarray(0, headerLength + body.length)), headerLength + body.length);
  return bytes;
}

/** The body of a file. Throws `NODE_NEWER_FORMAT` or `NODE_FILE_CORRUPT`; `path` is for the message. */
export function openFile({ magic, version: known }: FileFormat, bytes: Uint8Array, path: string): Uint8Array {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!file.subarray(0, magicLength).equals(magic)) throw new NodeFileCorruptError(path, "it does not begin as one");
  if (file.length < headerLength) throw new NodeFileCorruptError(path, `it ends after ${file.length} bytes`);
  const version = file.readUInt16BE(magicLength);
  if (version > known) throw new NewerFormatError(path, version, known);
  if (version !== known) throw new NodeFileCorruptError(path, `there is no format ${version}`);
  const length = file.readUInt32BE(magicLength + 2);
  const end = headerLength + length;
  if (length > maxBodyBytes || file.length !== end + checksumLength) {
    throw new NodeFileCorruptError(path, `it has ${file.length} bytes and says ${end + checksumLength}`);
  }
  if (!timingSafeEqual(checksum(file.subarray(0, end)), file.subarray(end)))
    throw new NodeFileCorruptError(path, "its checksum is wrong");
  return file.subarray(headerLength, end);
}
