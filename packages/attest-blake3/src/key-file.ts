import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { link, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import type { Identity } from "@revoada/fabric";
import { isFabricError } from "@revoada/fabric";
import { copyBytes, equalBytes } from "./core/canonical.ts";
import { hashBytes } from "./core/hash.ts";
import { KeyInvalidError, KeyPermissionsError, KeyUnavailableError } from "./errors.ts";
import { identityFromSeed, seedLength } from "./identity.ts";

// 6 bytes magic, 2 bytes version (big-endian), 32 bytes seed, 8 bytes BLAKE3 of what stands before.
const magic = Buffer.from("RVDKEY", "latin1");
const fileVersion = 1;
const headerLength = magic.length + 2;
const checksumLength = 8;
const fileLength = headerLength + seedLength + checksumLength;

/** An identity and the seed that it was made from: the seed is what a TLS transport needs, and a secret. */
export interface StoredIdentity {
  readonly identity: Identity;
  /** The ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array;
}

/**
 * Reads the identity in a key file.
 *
 * Rejects with `ATTEST_KEY_PERMISSIONS` where others than the owner may reach the file (not checked on Windows, which has no such modes),
 * with `ATTEST_KEY_INVALID` where it holds anything but a key, and with `ATTEST_KEY_UNAVAILABLE` where it cannot be read.
 */
export async function loadIdentity(path: string): Promise<StoredIdentity> {
  const bytes = await readKeyFile(path);
  if (bytes === undefined) throw new KeyUnavailableError(path, "read", new Error("there is no such file"));
  return decodeKeyFile(path, bytes);
}

/**
 * Reads the identity in a key file, or makes one where there is no such file yet.
 *
 * The file appears whole and durable or not at all, with mode 0600, and is never replaced: of several that start at once, one
 * makes the key and all get the same. Rejects as {@link loadIdentity} does; the folder must be there.
 */
export async function loadOrCreateIdentity(path: string): Promise<StoredIdentity & { readonly created: boolean }> {
  const present = await readKeyFile(path);
  if (present !== undefined) return { ...decodeKeyFile(path, present), created: false };
  const seed = new Uint8Array(randomBytes(seedLength));
  if (await createKeyFile(path, encodeKeyFile(seed))) return { identity: identityFromSeed(seed), seed, created: true };
  return { ...(await loadIdentity(path)), created: false };
}

function encodeKeyFile(seed: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(fileLength);
  bytes.set(magic, 0);
  new DataView(bytes.buffer).setUint16(magic.length, fileVersion);
  bytes.set(seed, headerLength);
  bytes.set(
    hashBytes(bytes.subarray(0, headerLength + seedLength)).subarray(0, checksumLength),
    headerLength + seedLength,
  );
  return bytes;
}

function decodeKeyFile(path: string, bytes: Uint8Array): StoredIdentity {
  if (!equalBytes(bytes.subarray(0, magic.length), magic)) throw new KeyInvalidError(path, "its magic is wrong");
  if (bytes.length < headerLength) throw new KeyInvalidError(path, `${bytes.length} bytes, expected ${fileLength}`);
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint16(magic.length);
  if (version !== fileVersion)
    throw new KeyInvalidError(path, `version ${version}, this program knows version ${fileVersion}`);
  if (bytes.length !== fileLength) throw new KeyInvalidError(path, `not ${fileLength} bytes long`);
  const checksum = hashBytes(bytes.subarray(0, headerLength + seedLength)).subarray(0, checksumLength);
  if (!equalBytes(bytes.subarray(headerLength + seedLength), checksum))
    throw new KeyInvalidError(path, "its checksum is wrong");
  const seed = copyBytes(bytes.subarray(headerLength, headerLength + seedLength));
  return { identity: identityFromSeed(seed), seed };
}

/** The bytes of the file, at most one more than a key file has; undefined where there is none. */
async function readKeyFile(path: string): Promise<Uint8Array | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw new KeyUnavailableError(path, "read", error);
  }
  try {
    // Of the open file, not of the path: nobody can exchange it in between.
    const stat = await file.stat();
    if (!stat.isFile()) throw new KeyInvalidError(path, "not a regular file");
    const isOpen = process.platform !== "win32" && (stat.mode & 0o077) !== 0;
    const buffer = new Uint8Array(fileLength + 1);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    const bytes = buffer.subarray(0, length);
    // First, as everybody may read the file of a public key.
    if (isPublicKey(bytes)) throw new KeyInvalidError(path, "it holds a public key, and the private one is needed");
    if (isOpen) throw new KeyPermissionsError(path, stat.mode);
    return bytes;
  } catch (error) {
    throw isFabricError(error) ? error : new KeyUnavailableError(path, "read", error);
  } finally {
    await file.close();
  }
}

/** As far as it was read, which is as long as a key file is. */
function isPublicKey(bytes: Uint8Array): boolean {
  return /^[0-9a-f]{32,}\s?$/.test(Buffer.from(bytes).toString("latin1"));
}

/** Makes the file durable under another name and links it into place. False where somebody else was first. */
async function createKeyFile(path: string, bytes: Uint8Array): Promise<boolean> {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    await writeDurably(temporary, bytes);
    try {
      // A link, unlike a rename, never replaces what is there.
      await link(temporary, path);
    } catch (error) {
      if (isSystemError(error, "EEXIST")) return false;
      throw error;
    } finally {
      await unlink(temporary);
    }
    await syncFolder(dirname(path));
    return true;
  } catch (error) {
    throw new KeyUnavailableError(path, "create", error);
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  let written = false;
  try {
    // Whatever the umask is: a mode of 0400 or 0000 would lock the owner out after a restart.
    await file.chmod(0o600);
    await file.writeFile(bytes);
    await file.sync();
    written = true;
  } finally {
    await file.close();
    if (!written) await unlink(path);
  }
}

async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder to flush it; its file systems journal the names themselves.
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isSystemError(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}
