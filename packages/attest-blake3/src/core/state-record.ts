import type {
  Declared,
  Hash,
  LimitedRole,
  NodeFlag,
  NodeId,
  NodeRecord,
  ReplicaKind,
  Role,
  StoreId,
} from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";
import type { StateFields } from "./chain-state.ts";
import { decodeViews } from "./canonical.ts";
import { FieldList, idList, openRecord } from "./fields.ts";
import {
  maxDeclarationBytes,
  maxNodeRecordBytes,
  maxSealSignatures,
  maxStateBytes,
  maxVersionBytes,
  maxZoneBytes,
} from "./limits.ts";

const states: readonly NodeRecord["state"][] = ["standby", "active", "demoting", "departing", "failed"];
const roles: readonly Role[] = ["master", "worker", "observer", "arbiter", "bootstrap"];
const replicas: readonly ReplicaKind[] = ["voter", "learner", "none"];
const flags: readonly NodeFlag[] = ["cordoned", "quarantined"];
const limits: readonly LimitedRole[] = ["worker", "observer"];

/** Decodes the bytes that a leaf of the tree of nodes holds. Throws `ATTEST_NOT_CANONICAL`. */
export function readNodeRecord(bytes: Uint8Array): NodeRecord {
  const fields = new FieldList(decodeViews(bytes, { maxBytes: maxNodeRecordBytes }), "node");
  const state = fields.oneOf("state", states);
  const role = fields.optionalOneOf("role", roles);
  const record = {
    state,
    replica: fields.oneOf("replica", replicas),
    storeId: fields.id<StoreId>("storeId", 16),
    generation: fields.counter("generation"),
    incarnation: fields.counter("incarnation"),
    zone: fields.text("zone", maxZoneBytes),
    version: fields.text("version", maxVersionBytes),
    flags: fields.list("flags", { least: 0, most: flags.length }).map((flag): NodeFlag => {
      const item = new FieldList([flag], "node.flags");
      return item.oneOf("flag", flags);
    }),
    lastShiftMs: fields.counter("lastShiftMs"),
  };
  const limitedTo = fields.optionalOneOf("limitedTo", limits);
  const succeeds = fields.optionalId<NodeId>("succeeds", 32);
  fields.finish();
  return {
    ...record,
    ...(role === undefined ? {} : { role }),
    ...(limitedTo === undefined ? {} : { limitedTo }),
    ...(succeeds === undefined ? {} : { succeeds }),
  };
}

/** Decodes a state record. Throws `ATTEST_NOT_CANONICAL` or `ATTEST_UNKNOWN_VERSION`. */
export function readStateRecord(bytes: Uint8Array): StateFields {
  const fields = openRecord(bytes, "state", { maxBytes: maxStateBytes });
  const state = {
    timeMs: fields.counter("timeMs"),
    generation: fields.counter("generation"),
    nodesRoot: fields.optionalId<Hash>("nodes", 32),
    tombstonesRoot: fields.optionalId<Hash>("tombstones", 32),
    declaredHash: fields.optionalId<Hash>("declared", 32),
    operatorsHash: fields.optionalId<Hash>("operators", 32),
    recoveriesHash: fields.id<Hash>("recoveries", 32),
    voters: idList<NodeId>(fields.list("voters", { least: 1, most: maxSealSignatures }), 32, "state.voters"),
  };
  fields.finish();
  return state;
}

/** Decodes what is declared. Throws `ATTEST_NOT_CANONICAL`. */
export function readDeclared(bytes: Uint8Array): Declared {
  const fields = new FieldList(decodeViews(bytes, { maxBytes: 2 * maxDeclarationBytes + 64 }), "declared");
  const declaration = fields.bytes("declaration", { least: 0, most: maxDeclarationBytes });
  const pending = fields.hasMore()
    ? {
        previous: fields.bytes("previous", { least: 0, most: maxDeclarationBytes }),
        withinMs: fields.counter("withinMs", 1),
      }
    : undefined;
  fields.finish();
  return pending === undefined ? { declaration } : { declaration, pending };
}

/** Pairs of a decoded list, as fields. */
export function pairsOf(bytes: Uint8Array, maxBytes: number, what: string): readonly FieldList[] {
  const value = decodeViews(bytes, { maxBytes });
  if (!Array.isArray(value)) throw new NotCanonicalError(`${what}: expected a list`);
  return (value as readonly Uint8Array[]).map((item, index) => new FieldList(item, `${what}[${index}]`));
}
