import { FieldReader } from "./check.ts";
import { InvalidValueError } from "./errors.ts";
import type { FabricFace, FaceKind } from "./face.ts";

const faceName = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
const versionNumber = /^\d{1,4}(\.\d{1,4}){0,2}$/;
const openProtocol = /^x-[a-z0-9][a-z0-9.-]{0,61}$/;

/** The protocols that are closed forms; every other one starts with `x-`. */
export const knownProtocols: readonly string[] = [
  "kubernetes",
  "nomad",
  "systemd",
  "pure-raft",
  "bare-metal-supervisor",
  "etcd",
];

/** Reads a face from an untrusted value. Throws `FABRIC_INVALID_VALUE` with the path, the value and what was expected. */
export function parseFace(value: unknown, source: string): FabricFace {
  const fields = new FieldReader(value, source);
  const name = fields.string("name", { maxLength: 63 });
  if (!faceName.test(name))
    throw new InvalidValueError(fields.at("name"), name, "lower-case letters, digits, '-' and '.'");
  const kind = parseFaceKind(fields.take("kind"), fields.at("kind"));
  fields.finish();
  return { name, kind };
}

function parseFaceKind(value: unknown, path: string): FaceKind {
  const fields = new FieldReader(value, path);
  const protocol = fields.string("protocol", { maxLength: 64 });
  if (openProtocol.test(protocol)) return structuredClone(value) as FaceKind;
  const kind = closedKind(protocol, fields);
  const promise = fields.take("requiresOperatorSignature");
  if (promise !== undefined && typeof promise !== "boolean") {
    throw new InvalidValueError(fields.at("requiresOperatorSignature"), promise, "true or false");
  }
  fields.finish();
  return promise === undefined ? kind : { ...kind, requiresOperatorSignature: promise };
}

function closedKind(protocol: string, fields: FieldReader): FaceKind {
  switch (protocol) {
    case "kubernetes":
      return { protocol, version: version(fields), certifiedCncf: fields.boolean("certifiedCncf") };
    case "nomad":
    case "etcd":
      return { protocol, version: version(fields) };
    case "systemd":
      return { protocol, userUnits: fields.boolean("userUnits") };
    case "pure-raft":
    case "bare-metal-supervisor":
      return { protocol };
    default:
      throw new InvalidValueError(fields.at("protocol"), protocol, `one of ${knownProtocols.join(", ")}, or x-…`);
  }
}

function version(fields: FieldReader): string {
  const value = fields.string("version", { maxLength: 16 });
  if (!versionNumber.test(value)) throw new InvalidValueError(fields.at("version"), value, 'a version such as "1.34"');
  return value;
}
