import { FabricError, shortId, type NodeId } from "@revoada/fabric";

/** A topology whose smallest shape cannot hold the voters that the strategy asks for. */
export class TopologyTooSmallError extends FabricError {
  constructor(topology: string, minNodes: number, voters: number) {
    super(
      "TOPOLOGY_TOO_SMALL_FOR_QUORUM",
      `topology ${topology} stands with ${minNodes} node${minNodes === 1 ? "" : "s"}, the strategy asks for ${voters} voters`,
    );
  }
}

/** A face that promises operator signatures over a strategy that does not ask for them. */
export class SignaturePromiseError extends FabricError {
  constructor(face: string, strategy: string) {
    super(
      "FACE_SIGNATURE_PROMISE_UNMET",
      `face ${face} promises operator signatures, strategy ${strategy} does not require them`,
    );
  }
}

/** A quorum of one under a topology of several masters. */
export class StandaloneTopologyError extends FabricError {
  constructor(strategy: string, topology: string) {
    super(
      "CLUSTER_STANDALONE_TOPOLOGY",
      `strategy ${strategy} is standalone, which stands with topology solo only, not ${topology}`,
    );
  }
}

export class ClusterAlreadyStartedError extends FabricError {
  constructor(id: string) {
    super("CLUSTER_ALREADY_STARTED", `cluster ${id} is already started`);
  }
}

export class ClusterNotStartedError extends FabricError {
  constructor(id: string) {
    super("CLUSTER_NOT_STARTED", `cluster ${id} is not started`);
  }
}

/** A builder that was not told everything; the message names the first thing that is missing. */
export class ClusterIncompleteError extends FabricError {
  readonly missing: string;

  constructor(missing: string) {
    super("CLUSTER_INCOMPLETE", `the cluster has no ${missing}`);
    this.missing = missing;
  }
}

/** A protocol for which no face is registered. */
export class UnknownFaceError extends FabricError {
  constructor(protocol: string, known: readonly string[]) {
    super(
      "FACE_UNKNOWN_PROTOCOL",
      `no face speaks ${JSON.stringify(protocol)} (registered: ${known.join(", ") || "none"})`,
    );
  }
}

/** The declaration that a node was given is not the one that its cluster has committed. */
export class DeclarationMismatchError extends FabricError {
  constructor(given: string, committed: string) {
    super("CLUSTER_DECLARATION_MISMATCH", `the cluster is ${committed}, this node was told ${given}`);
  }
}

/** Operator keys in genesis under a strategy that asks for no operator's signature, or none under one that does. */
export class OperatorKeysError extends FabricError {
  constructor(strategy: string, keys: number) {
    super(
      "CLUSTER_OPERATOR_KEYS",
      keys === 0
        ? `strategy ${strategy} requires operator signatures, and genesis names no operator key`
        : `genesis names ${keys} operator keys, and strategy ${strategy} does not require their signatures`,
    );
  }
}

/** A command whose kind or version this build does not know. A replica stops here: skipping it would make it another machine. */
export class NewerCommandError extends FabricError {
  constructor(what: string) {
    super("RAFT_NEWER_COMMAND", `the log holds ${what}, which this version does not know`);
  }
}

/** A snapshot that is damaged, of another cluster, or of a newer version. */
export class SnapshotInvalidError extends FabricError {
  constructor(message: string) {
    super("CLUSTER_SNAPSHOT_INVALID", message);
  }
}

/** The answer to every join that is refused, the same for all from outside. */
export class JoinRefusedError extends FabricError {
  constructor(message = "the cluster did not let this node in", options: { readonly retryable?: boolean } = {}) {
    super("JOIN_REFUSED", message, options);
  }
}

/** Nobody that the token names could be reached. */
export class JoinUnreachableError extends FabricError {
  constructor(tried: readonly string[], cause: unknown) {
    super("JOIN_UNREACHABLE", `no node of the cluster answered (tried ${tried.join(", ") || "nobody"})`, {
      retryable: true,
      cause,
    });
  }
}

/** A replicated command that was committed and refused by the machine; nothing changed. The code is the machine's. */
export class CommandRefusedError extends FabricError {}

/** An archived segment that is not what was written, or does not verify. Nothing was dropped. */
export class ArchiveBrokenError extends FabricError {
  constructor(place: string, name: string, why: string) {
    super("CHAIN_ARCHIVE_BROKEN", `${name} in ${place}: ${why}`);
  }
}

/** A name of an archive that is taken by something else, or is none. Nothing was written. */
export class ArchiveExistsError extends FabricError {
  constructor(place: string, name: string, why: string) {
    super("CHAIN_ARCHIVE_EXISTS", `${name} in ${place} ${why}`);
  }
}

/** This node no longer holds the duty that it writes for. Nothing was written. */
export class DutyLostError extends FabricError {
  constructor(duty: string, why: string) {
    super("DUTY_LOST", `duty ${duty} is no longer held here: ${why}`);
  }
}

/** A seal that too few voters signed. */
export class SealIncompleteError extends FabricError {
  constructor(height: number, signed: readonly NodeId[], needed: number) {
    super(
      "CHAIN_SEAL_INCOMPLETE",
      `height ${height} has ${signed.length} of ${needed} signatures (${signed.map(shortId).join(", ")})`,
      {
        retryable: true,
      },
    );
  }
}
