import { FabricError, formatResourceRef, type ResourceRef } from "@revoada/fabric";

/** A verb before `start` or after `shutdown`. */
export class FaceNotRunningError extends FabricError {
  constructor(face: string) {
    super("FACE_NOT_RUNNING", `face ${JSON.stringify(face)} is not running`, { retryable: true });
  }
}

/** The resource is not there. */
export class FaceResourceNotFoundError extends FabricError {
  readonly ref: ResourceRef;

  constructor(ref: ResourceRef) {
    super("FACE_RESOURCE_NOT_FOUND", `${formatResourceRef(ref)} is not there`);
    this.ref = ref;
  }
}

/** The resource is at another revision than the caller believed, or others changed it again and again meanwhile. */
export class FaceConflictError extends FabricError {
  readonly ref: ResourceRef;

  constructor(ref: ResourceRef, reason: string, options: { readonly retryable?: boolean } = {}) {
    super("FACE_CONFLICT", `${formatResourceRef(ref)}: ${reason}`, options);
    this.ref = ref;
  }
}

/** One body names one resource twice. */
export class FaceDuplicateResourceError extends FabricError {
  readonly ref: ResourceRef;

  constructor(ref: ResourceRef, source: string) {
    super("FACE_DUPLICATE_RESOURCE", `${source}: ${formatResourceRef(ref)} stands twice in one body`);
    this.ref = ref;
  }
}

/** A page token that this face did not give for this selector. */
export class FaceInvalidPageTokenError extends FabricError {
  constructor(reason: string) {
    super("FACE_INVALID_PAGE_TOKEN", `the page token ${reason}`);
  }
}

/** A stored value that no release up to this one can have written. */
export class FaceStoredInvalidError extends FabricError {
  constructor(ref: ResourceRef, reason: string) {
    super("FACE_STORED_INVALID", `what is stored as ${formatResourceRef(ref)} cannot be read: ${reason}`);
  }
}

/** A stored value that a newer release wrote. */
export class FaceNewerFormatError extends FabricError {
  constructor(ref: ResourceRef, found: number, known: number) {
    super(
      "FACE_NEWER_FORMAT",
      `${formatResourceRef(ref)} is stored in format ${found}, this release knows up to ${known}`,
    );
  }
}

/** None of the nodes that hold a replica could be asked; nothing was done. */
export class FaceNoReplicaError extends FabricError {
  constructor(tried: number, options: { readonly cause?: unknown } = {}) {
    const what =
      tried === 0 ? "no node with a replica is known" : `none of ${tried} nodes with a replica could be asked`;
    super("FACE_NO_REPLICA", what, { ...options, retryable: true });
  }
}

/** The serving side has as many streams of this peer as it takes. */
export class FaceBusyError extends FabricError {
  constructor(limit: number) {
    super("FACE_BUSY", `at most ${limit} streams of one peer at a time`, { retryable: true });
  }
}

/** The other side sent what the face protocol does not know. */
export class FaceProtocolError extends FabricError {
  constructor(reason: string, options: { readonly cause?: unknown } = {}) {
    super("FACE_PROTOCOL", `the other side does not keep to the face protocol: ${reason}`, options);
  }
}

/** A verb failed for a reason that is not for peers to see; the log of the node that serves it has it. */
export class FaceInternalError extends FabricError {
  constructor() {
    super("FACE_INTERNAL", "the verb failed, the log of the node that was asked says why");
  }
}

/** The answer to a write was lost: it may have happened and must not be repeated blindly. */
export class OutcomeUnknownError extends FabricError {
  constructor(what: string, options: { readonly cause?: unknown } = {}) {
    super("RAFT_OUTCOME_UNKNOWN", `whether the ${what} took effect is unknown: its answer was lost`, options);
  }
}

/** An error that another process raised and that reached us by its code. */
export class CarriedError extends FabricError {}
