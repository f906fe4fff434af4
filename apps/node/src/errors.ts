import { FabricError, shortId, type NodeId } from "@revoada/fabric";

/** The command line asks for something that does not exist or leaves out something that must be there. */
export class CliUsageError extends FabricError {}

/** A file that the command line names cannot be read or written. */
export class CliFileError extends FabricError {
  constructor(verb: "read" | "write", path: string, cause: unknown) {
    super("CLI_FILE_UNAVAILABLE", `cannot ${verb} ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** A file that the command line names is larger than what is taken. */
export class CliFileTooLargeError extends FabricError {
  constructor(path: string, bytes: number, limitBytes: number) {
    super("CLI_FILE_TOO_LARGE", `${path} has ${bytes} bytes, at most ${limitBytes} are taken`);
  }
}

/** A setting is wrong; the message begins with where it was made: a flag, a variable, or file, line and column. */
export class ConfigInvalidError extends FabricError {
  constructor(source: string, message: string) {
    super("CONFIG_INVALID", `${source}: ${message}`);
  }
}

/** No daemon answers for a data directory. */
export class NodeUnreachableError extends FabricError {
  constructor(directory: string, why: string, cause?: unknown) {
    super("NODE_UNREACHABLE", `no node answers for ${directory}: ${why}`, { retryable: true, cause });
  }
}

/** The data directory has no node yet. */
export class NotInitialisedError extends FabricError {
  constructor(directory: string) {
    super(
      "NODE_NOT_INITIALISED",
      `${directory} belongs to no cluster yet: use --bootstrap to found one or --join to enter one`,
    );
  }
}

/** The data directory belongs to another cluster than the one that was asked for. */
export class OtherClusterError extends FabricError {
  constructor(directory: string, found: string, asked: string) {
    super("NODE_OTHER_CLUSTER", `${directory} belongs to cluster ${found}, not to ${asked}`);
  }
}

/** A file of the data directory was written by a later release. */
export class NewerFormatError extends FabricError {
  constructor(path: string, found: number, known: number) {
    super("NODE_NEWER_FORMAT", `${path} has format ${found}, this release knows formats up to ${known}`);
  }
}

/** The node file fails its check. */
export class NodeFileCorruptError extends FabricError {
  constructor(path: string, why: string) {
    super("NODE_FILE_CORRUPT", `${path} cannot be believed: ${why}`);
  }
}

/** The data directory's key is not the one that the node was made with. */
export class WrongKeyError extends FabricError {
  constructor(path: string, found: string, expected: string) {
    super("NODE_WRONG_KEY", `${path} holds the key of ${found}, this directory belongs to ${expected}`);
  }
}

/** The node gave its place up; its key and its votes are not used again. */
export class NodeLeftError extends FabricError {
  constructor(directory: string, cluster: string) {
    super("NODE_LEFT", `the node of ${directory} left cluster ${cluster}: start with an empty directory to join again`);
  }
}

/** The log is not the one that this node voted from: it is gone, or another's. */
export class OtherStoreError extends FabricError {
  constructor(directory: string, found: string, expected: string) {
    super(
      "NODE_OTHER_STORE",
      `${directory} holds ${found}, this node votes from store ${expected}: a lost log cannot be replaced by another`,
    );
  }
}

/** A directory that exists, holds other things, and is therefore not made into a data directory. */
export class ForeignDirectoryError extends FabricError {
  constructor(directory: string, entry: string) {
    super(
      "NODE_FOREIGN_DIRECTORY",
      `${directory} is no data directory and is not empty: it holds ${JSON.stringify(entry)}`,
    );
  }
}

/** The data directory cannot be used at all. */
export class DataUnavailableError extends FabricError {
  constructor(path: string, what: string, cause: unknown) {
    super("NODE_DATA_UNAVAILABLE", `cannot ${what} ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** An address that a node's own server should listen on cannot be taken. */
export class AdminListenError extends FabricError {
  constructor(address: string, cause: unknown) {
    super("NODE_ADMIN_UNAVAILABLE", `cannot listen on ${address} for administration: ${reasonOf(cause)}`, { cause });
  }
}

/** The cluster's face has no endpoint of its own, so there is nothing to listen. */
export class FaceDoesNotListenError extends FabricError {
  constructor(face: string) {
    super("NODE_FACE_DOES_NOT_LISTEN", `face ${face} has no network endpoint: leave --face-listen out`);
  }
}

/** A part of the node stopped by itself: the node cannot go on. */
export class NodeFailedError extends FabricError {
  constructor(code: string, message: string, cause?: unknown) {
    super(code, message, cause === undefined ? {} : { cause });
  }
}

/** A request for an operator's signature, or an answer to one, that cannot be used. */
export class OperatorFileError extends FabricError {
  constructor(file: string, why: string) {
    super("OPERATOR_FILE_INVALID", `${file}: ${why}`);
  }
}

/** A key that is not in force as an operator's in the chain that it was to sign. */
export class OperatorKeyError extends FabricError {
  constructor(key: NodeId, inForce: readonly NodeId[]) {
    super(
      "OPERATOR_KEY_UNKNOWN",
      `${shortId(key)} is not an operator key in force (${inForce.map(shortId).join(", ") || "the cluster has none"})`,
    );
  }
}

/** The short reason of a system error, for messages. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOENT":
      return "there is no such file or directory";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "ENOTDIR":
      return "it is not a directory";
    case "EEXIST":
      return "there is a file of that name";
    case "EISDIR":
      return "it is a directory";
    case "ENOSPC":
      return "no space is left on the device";
    case "EROFS":
      return "the file system is read-only";
    case "EADDRINUSE":
      return "the address is in use";
    case "EADDRNOTAVAIL":
      return "this host has no such address";
    default:
      return error.message;
  }
}

/** What --bootstrap-expect is told cannot work. */
export class ExpectInvalidError extends FabricError {
  constructor(message: string) {
    super("NODE_EXPECT_INVALID", message);
  }
}

/** Nodes that were to found one cluster together do not agree; none was founded. */
export class ExpectRefusedError extends FabricError {
  constructor(node: NodeId, why: string) {
    super("NODE_EXPECT_REFUSED", `${shortId(node)} does not agree: ${why}`);
  }
}

/** Not all nodes that were to found a cluster together were there in time; none was founded. */
export class ExpectTimeoutError extends FabricError {
  constructor(missing: readonly NodeId[], timeoutMs: number) {
    const names = missing.map(shortId).join(", ");
    super(
      "NODE_EXPECT_TIMEOUT",
      `${names} did not agree within ${timeoutMs / 1000} s: is it up, with the same secret and keys?`,
      {
        retryable: true,
      },
    );
  }
}

/** A node whose settings came from a program, not from a command line and a file. */
export class NotReloadableError extends FabricError {
  constructor() {
    super("NODE_NOT_RELOADABLE", "the settings of this node cannot be read again: it was started by a program");
  }
}

/** A switch to another declaration was taken back: the new shape did not stand in time. */
export class SwitchUndoneError extends FabricError {
  constructor(reason: string) {
    super("CLUSTER_SWITCH_UNDONE", `the switch was taken back: ${reason}`);
  }
}

/** A switch was neither confirmed nor taken back while it was waited for. */
export class SwitchUnfinishedError extends FabricError {
  constructor(waitedMs: number, missing: string | undefined) {
    const why = missing === undefined ? "" : `: ${missing}`;
    super("CLUSTER_SWITCH_UNFINISHED", `the new shape does not stand after ${waitedMs} ms${why}`, { retryable: true });
  }
}

/** Nothing has an id that begins like this. */
export class UnknownIdError extends FabricError {
  constructor(what: string, given: string) {
    super("NODE_UNKNOWN_ID", `no ${what} has an id that begins with ${given}`);
  }
}

/** The beginning of an id fits several. */
export class AmbiguousIdError extends FabricError {
  constructor(what: string, given: string, found: readonly string[]) {
    super("NODE_AMBIGUOUS_ID", `${found.length} ${what}s have ids that begin with ${given}: give more of it`);
  }
}
