import {
  FieldReader,
  InvalidValueError,
  parseGeneration,
  parseNodeId,
  parseStoreId,
  type Configuration,
  type LimitedRole,
  type NodeFlag,
  type NodeRecord,
  type ReplicaId,
  type ReplicaKind,
  type Role,
} from "@revoada/fabric";
import { decodeCanonical, encodeCanonical } from "../codec.ts";

const roles: readonly Role[] = ["master", "worker", "observer", "arbiter", "bootstrap"];
const states: readonly NodeRecord["state"][] = ["standby", "active", "demoting", "departing", "failed"];
const replicaKinds: readonly ReplicaKind[] = ["voter", "learner", "none"];
const flags: readonly NodeFlag[] = ["cordoned", "quarantined"];

const limitedRoles: readonly LimitedRole[] = ["worker", "observer"];

/** One node's committed record, as the store holds it. */
export function encodeRecord(record: NodeRecord): Uint8Array {
  return encodeCanonical(record);
}

export function decodeRecord(bytes: Uint8Array): NodeRecord {
  const fields = new FieldReader(decodeCanonical(bytes, "record"), "record");
  const role = fields.take("role");
  const listed = fields.take("flags");
  const [limitedTo, succeeds] = [fields.take("limitedTo"), fields.take("succeeds")];
  if (limitedTo !== undefined && !limitedRoles.includes(limitedTo as LimitedRole))
    throw new InvalidValueError("record.limitedTo", limitedTo, limitedRoles.join(", "));
  if (role !== undefined && !roles.includes(role as Role)) throw new InvalidValueError("record.role", role, "a role");
  if (!Array.isArray(listed) || !listed.every((flag) => flags.includes(flag as NodeFlag))) {
    throw new InvalidValueError("record.flags", listed, "a list of flags");
  }
  const record: NodeRecord = {
    state: fields.oneOf("state", states),
    ...(role === undefined ? {} : { role: role as Role }),
    replica: fields.oneOf("replica", replicaKinds),
    storeId: parseStoreId(fields.take("storeId"), "record.storeId"),
    generation: fields.number("generation"),
    incarnation: fields.number("incarnation"),
    zone: fields.take("zone") as string,
    version: fields.take("version") as string,
    flags: listed as NodeFlag[],
    lastShiftMs: fields.number("lastShiftMs"),
    ...(limitedTo === undefined ? {} : { limitedTo: limitedTo as LimitedRole }),
    ...(succeeds === undefined ? {} : { succeeds: parseNodeId(succeeds, "record.succeeds") }),
  };
  fields.finish();
  return record;
}

/** Where the machine stands in the log, stored with its data in one transaction. */
export interface StoredPosition {
  readonly index: number;
  readonly term: number;
  readonly configuration?: Configuration;
}

export function encodePosition(position: StoredPosition): Uint8Array {
  const { index, term, configuration } = position;
  return encodeCanonical({ index, term, ...(configuration === undefined ? {} : { configuration }) });
}

export function decodePosition(bytes: Uint8Array): StoredPosition {
  const fields = new FieldReader(decodeCanonical(bytes, "position"), "position");
  const configuration = fields.take("configuration");
  const position: StoredPosition = {
    index: fields.number("index"),
    term: fields.number("term"),
    ...(configuration === undefined ? {} : { configuration: parseConfiguration(configuration) }),
  };
  fields.finish();
  return position;
}

function parseConfiguration(value: unknown): Configuration {
  const fields = new FieldReader(value, "configuration");
  const outgoing = fields.take("outgoing");
  const configuration: Configuration = {
    voters: parseReplicas(fields.take("voters"), "configuration.voters"),
    ...(outgoing === undefined ? {} : { outgoing: parseReplicas(outgoing, "configuration.outgoing") }),
    learners: parseReplicas(fields.take("learners"), "configuration.learners"),
    generation: parseGeneration(fields.take("generation"), "configuration.generation"),
  };
  fields.finish();
  return configuration;
}

function parseReplicas(value: unknown, path: string): readonly ReplicaId[] {
  if (!Array.isArray(value)) throw new InvalidValueError(path, value, "a list");
  return value.map((replica: unknown, index) => {
    const { id, storeId } = (replica ?? {}) as Record<string, unknown>;
    return { id: parseNodeId(id, `${path}.${index}.id`), storeId: parseStoreId(storeId, `${path}.${index}.storeId`) };
  });
}
