import { FabricError, InvalidValueError } from "./errors.ts";

/** Ways in which a `Disk` fails. */
export type DiskErrorCode = "DISK_FULL" | "DISK_READ_ONLY" | "DISK_IO" | "DISK_NOT_FOUND";

/** A disk did not do what it was asked to; `cause` is the system's own error where there is one. */
export class DiskError extends FabricError {
  /** The path as the caller gave it. */
  readonly path: string;

  constructor(code: DiskErrorCode, path: string, what: string, cause?: unknown) {
    super(code, `${path === "" ? "." : path}: ${what}`, { retryable: code === "DISK_FULL", cause });
    this.path = path;
  }
}

/**
 * The parts of a relative path; empty for the root itself (`""` or `"."`). Throws `FABRIC_INVALID_VALUE` for whatever could lead
 * out of the root or mean two things: absolute paths, `..`, empty parts, backslashes, NUL.
 */
export function parseDiskPath(path: string): readonly string[] {
  if (path === "" || path === ".") return [];
  const parts = path.split("/");
  const wrong = parts.some((part) => part === "" || part === "." || part === "..");
  if (wrong || path.length > 4096 || path.includes("\0") || path.includes("\\")) {
    throw new InvalidValueError("path", path, "a relative path without '.', '..', empty parts, backslashes and NUL");
  }
  return parts;
}

/** Checks an offset, a length or a size. Throws `FABRIC_INVALID_VALUE`. */
export function checkDiskNumber(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidValueError(name, value, "an integer from 0 to 2^53 - 1");
}
