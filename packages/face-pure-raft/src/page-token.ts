import { parseRevision, type Revision } from "@revoada/fabric";
import { decode, encode } from "cborg";
import { FaceInvalidPageTokenError } from "./errors.ts";

const tokenVersion = 1;
/** Longer than any token that {@link encodePageToken} gives: a key has at most 640 bytes. */
const maxTokenLength = 1_024;

/** Where a list goes on: at which revision, and after which key. */
export interface PagePosition {
  readonly revision: Revision;
  readonly after: Uint8Array;
}

/** An opaque text for a position. */
export function encodePageToken({ revision, after }: PagePosition): string {
  return Buffer.from(encode([tokenVersion, revision, after])).toString("base64url");
}

/** The position that a token stands for. Throws `FACE_INVALID_PAGE_TOKEN`. */
export function decodePageToken(token: string): PagePosition {
  if (token.length > maxTokenLength) throw new FaceInvalidPageTokenError(`has ${token.length} characters`);
  let fields: unknown;
  try {
    fields = decode(new Uint8Array(Buffer.from(token, "base64url")), { strict: true });
  } catch {
    throw new FaceInvalidPageTokenError("is not one that a list gave");
  }
  const [version, revision, after] = Array.isArray(fields) ? (fields as readonly unknown[]) : [];
  if (version !== tokenVersion || !(after instanceof Uint8Array))
    throw new FaceInvalidPageTokenError("is not one that a list gave");
  try {
    return { revision: parseRevision(revision), after };
  } catch {
    throw new FaceInvalidPageTokenError("bears no revision");
  }
}
