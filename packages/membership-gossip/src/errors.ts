import { FabricError } from "@revoada/fabric";

/** What a node wants to say of itself is more than membership carries. It is no message bus: put bulk elsewhere. */
export class MembershipQuotaError extends FabricError {
  constructor(message: string) {
    super("MEMBERSHIP_QUOTA", message);
  }
}

/** A value is not of the type of its key. */
export class MembershipInvalidValueError extends FabricError {
  constructor(message: string) {
    super("MEMBERSHIP_INVALID_VALUE", message);
  }
}

/** A call came after `leave` or `shutdown`; a node that left comes back with a newer generation only. */
export class MembershipStoppedError extends FabricError {
  constructor(operation: string) {
    super("MEMBERSHIP_STOPPED", `${operation}: membership has been stopped`);
  }
}

/** A peer sent a request that cannot be read; told to that peer. */
export class MembershipBadFrameError extends FabricError {
  constructor(message: string) {
    super("MEMBERSHIP_BAD_FRAME", message);
  }
}

/** An option is outside of what is documented. */
export class MembershipOptionsError extends FabricError {
  constructor(message: string) {
    super("MEMBERSHIP_INVALID_OPTIONS", message);
  }
}
