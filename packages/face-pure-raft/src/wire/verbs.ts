import {
  type AppliedResource,
  type Face,
  type Fence,
  FieldReader,
  InvalidValueError,
  type LeaseId,
  parseFence,
  parseLeaseId,
  parseResourceRef,
  parseResourceSelector,
  parseRevision,
  type ResourceFormat,
  type ResourceList,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
} from "@revoada/fabric";
import { parseAnswer } from "./answer.ts";
import { compact } from "./cbor.ts";
import { isLeaseVerb, leaseVerbNames, leaseVerbs, runLease, type LeaseVerb } from "./leases.ts";

/** Verbs with one answer. */
export type UnaryVerb = (typeof resourceVerbs)[number] | LeaseVerb;
/** The part of a face that can be asked from elsewhere. */
export type FaceVerbs = Pick<Face, "apply" | "get" | "list" | "delete" | "watch" | "snapshot" | "restore" | "leases">;

const resourceVerbs = ["apply", "get", "list", "delete"] as const;

/** Names of the verbs with one answer. */
export const unaryVerbNames: readonly UnaryVerb[] = [...resourceVerbs, ...leaseVerbNames];

export function isUnaryVerb(verb: string): verb is UnaryVerb {
  return (unaryVerbNames as readonly string[]).includes(verb);
}

/** Carries a verb to a face elsewhere and brings its answer, still unchecked. */
export type AskVerb = (verb: UnaryVerb, parameters: unknown, signal: AbortSignal | undefined) => Promise<unknown>;

/** The verbs with one answer, over whatever carries them. */
export function unaryVerbs(ask: AskVerb): Pick<Face, (typeof resourceVerbs)[number] | "leases"> {
  return {
    leases: leaseVerbs(ask),
    async apply({ format, body, source, ifRevision, lease, fence }, options) {
      const parameters = compact({ format, body, source, ifRevision, lease, fence });
      const answer = await ask("apply", parameters, options?.signal);
      return parseAnswer("apply", () => parseApplied(answer));
    },
    async get(ref, options = {}) {
      const { format, consistency, signal } = options;
      const answer = await ask("get", compact({ ref: parseResourceRef(ref), format, consistency }), signal);
      return parseAnswer("get", () => parseStored(answer, "answer"));
    },
    async list(selector, options = {}) {
      const { format, consistency, limit, next, signal } = options;
      const parameters = compact({ selector: parseResourceSelector(selector), format, consistency, limit, next });
      const answer = await ask("list", parameters, signal);
      return parseAnswer("list", () => parseList(answer));
    },
    async delete(ref, options = {}) {
      const { ifRevision, fence, signal } = options;
      const answer = await ask("delete", compact({ ref: parseResourceRef(ref), ifRevision, fence }), signal);
      return parseAnswer("delete", () => ({
        revision: parseRevision(new FieldReader(answer, "answer").take("revision")),
      }));
    },
  };
}

/** What a watch is asked for, as it travels. */
export function watchParameters(
  selector: Parameters<Face["watch"]>[0],
  options: Omit<Parameters<Face["watch"]>[1], "signal">,
): unknown {
  const { fromRevision, format } = options;
  return compact({ selector: parseResourceSelector(selector), fromRevision, format });
}

/**
 * Runs a verb with untrusted parameters. Fields that nobody knows are refused: an option of a newer release that is not understood here must
 * not be left out silently. Throws `FABRIC_INVALID_VALUE`.
 */
export function runUnary(face: Face, verb: UnaryVerb, parameters: unknown, signal: AbortSignal): Promise<unknown> {
  if (isLeaseVerb(verb)) return runLease(face.leases, verb, parameters, signal);
  const fields = new FieldReader(parameters, verb);
  switch (verb) {
    case "apply": {
      const input = {
        format: takeFormat(fields) ?? "yaml",
        body: takeBytes(fields, "body"),
        ...given("source", takeSource(fields)),
        ...given("ifRevision", takeRevision(fields, "ifRevision")),
        ...given("lease", takeLease(fields)),
        ...given("fence", takeFence(fields)),
      };
      fields.finish();
      return face.apply(input, { signal });
    }
    case "get": {
      const ref = parseResourceRef(fields.take("ref"), fields.at("ref"));
      const options = takeReadOptions(fields);
      fields.finish();
      return face.get(ref, { ...options, signal });
    }
    case "list": {
      const selector = parseResourceSelector(fields.take("selector"), fields.at("selector"));
      const options = { ...takeReadOptions(fields), ...takeLimit(fields), ...takeNext(fields) };
      fields.finish();
      return face.list(selector, { ...options, signal });
    }
    case "delete": {
      const ref = parseResourceRef(fields.take("ref"), fields.at("ref"));
      const options = {
        ...given("ifRevision", takeRevision(fields, "ifRevision")),
        ...given("fence", takeFence(fields)),
      };
      fields.finish();
      return face.delete(ref, { ...options, signal });
    }
  }
}

/** Runs a watch with untrusted parameters. Throws `FABRIC_INVALID_VALUE`. */
export function runWatch(face: Face, parameters: unknown, signal: AbortSignal): AsyncIterable<ResourceWatchEvent> {
  const fields = new FieldReader(parameters, "watch");
  const selector = parseResourceSelector(fields.take("selector"), fields.at("selector"));
  const fromRevision = takeRevision(fields, "fromRevision");
  const format = takeFormat(fields);
  fields.finish();
  return face.watch(selector, {
    signal,
    ...(fromRevision === undefined ? {} : { fromRevision }),
    ...(format === undefined ? {} : { format }),
  });
}

const maxFormatLength = 64;
const maxSourceLength = 4_096;
const maxTokenLength = 1_024;

/** Which formats there are is for the face's registry to say. */
function takeFormat(fields: FieldReader): ResourceFormat | undefined {
  if (fields.take("format") === undefined) return undefined;
  return fields.string("format", { maxLength: maxFormatLength }) as ResourceFormat;
}

function takeBytes(fields: FieldReader, name: string): Uint8Array {
  const value = fields.take(name);
  if (value instanceof Uint8Array) return value;
  throw new InvalidValueError(fields.at(name), value, "bytes");
}

function takeSource(fields: FieldReader): string | undefined {
  return fields.take("source") === undefined ? undefined : fields.string("source", { maxLength: maxSourceLength });
}

function takeRevision(fields: FieldReader, name: string): Revision | undefined {
  const value = fields.take(name);
  return value === undefined ? undefined : parseRevision(value, fields.at(name));
}

function takeLease(fields: FieldReader): LeaseId | undefined {
  const value = fields.take("lease");
  return value === undefined ? undefined : parseLeaseId(value, fields.at("lease"));
}

function takeFence(fields: FieldReader): Fence | undefined {
  const value = fields.take("fence");
  return value === undefined ? undefined : parseFence(value, fields.at("fence"));
}

/** A field that is absent where it has no value. */
function given<K extends string, V>(name: K, value: V | undefined): { readonly [name in K]?: V } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [name in K]?: V };
}

function takeReadOptions(fields: FieldReader): Pick<NonNullable<Parameters<Face["get"]>[1]>, "format" | "consistency"> {
  const format = takeFormat(fields);
  const consistency =
    fields.take("consistency") === undefined
      ? undefined
      : fields.oneOf("consistency", ["linearizable", "stale"] as const);
  return { ...(format === undefined ? {} : { format }), ...(consistency === undefined ? {} : { consistency }) };
}

function takeLimit(fields: FieldReader): { readonly limit?: number } {
  return fields.take("limit") === undefined ? {} : { limit: fields.number("limit") };
}

function takeNext(fields: FieldReader): { readonly next?: string } {
  return fields.take("next") === undefined ? {} : { next: fields.string("next", { maxLength: maxTokenLength }) };
}

const outcomes = ["created", "updated", "unchanged"] as const;

function parseItems<T>(value: unknown, path: string, parse: (item: unknown, path: string) => T): readonly T[] {
  if (!Array.isArray(value)) throw new InvalidValueError(path, value, "a list");
  return value.map((item, index) => parse(item, `${path}[${index}]`));
}

function parseApplied(value: unknown): readonly AppliedResource[] {
  return parseItems(value, "answer", (item, path) => {
    const fields = new FieldReader(item, path);
    return {
      ref: parseResourceRef(fields.take("ref"), fields.at("ref")),
      revision: parseRevision(fields.take("revision"), fields.at("revision")),
      outcome: fields.oneOf("outcome", outcomes),
    };
  });
}

function takeAge(fields: FieldReader): { readonly ageMs?: number } {
  const ageMs = fields.take("ageMs");
  if (ageMs === undefined) return {};
  if (typeof ageMs !== "number" || !(ageMs >= 0))
    throw new InvalidValueError(fields.at("ageMs"), ageMs, "milliseconds");
  return { ageMs };
}

function parseStored(value: unknown, path: string): StoredResource {
  const fields = new FieldReader(value, path);
  const body = takeBytes(fields, "body");
  return {
    ref: parseResourceRef(fields.take("ref"), fields.at("ref")),
    revision: parseRevision(fields.take("revision"), fields.at("revision")),
    format: fields.string("format", { maxLength: maxFormatLength }) as ResourceFormat,
    // A view keeps the whole frame, in which many others stand, alive, and may be a Buffer: neither is the caller's business.
    body: new Uint8Array(body),
    ...given("lease", takeLease(fields)),
    ...takeAge(fields),
  };
}

function parseList(value: unknown): ResourceList {
  const fields = new FieldReader(value, "answer");
  return {
    revision: parseRevision(fields.take("revision"), fields.at("revision")),
    ...takeAge(fields),
    items: parseItems(fields.take("items"), fields.at("items"), parseStored),
    ...takeNext(fields),
  };
}

const resetReasons = ["compacted", "overflow", "restored"] as const;

/** An untrusted watch event. Throws `FABRIC_INVALID_VALUE`. */
export function parseWatchEvent(value: unknown): ResourceWatchEvent {
  const fields = new FieldReader(value, "event");
  const type = fields.oneOf("type", ["added", "modified", "deleted", "reset"] as const);
  const revision = parseRevision(fields.take("revision"), fields.at("revision"));
  switch (type) {
    case "reset":
      return { type, revision, reason: fields.oneOf("reason", resetReasons) };
    case "deleted":
      return { type, revision, ref: parseResourceRef(fields.take("ref"), fields.at("ref")) };
    case "added":
    case "modified":
      return { type, ...parseStored(value, "event") };
  }
}

/** An untrusted piece of a snapshot. Throws `FABRIC_INVALID_VALUE`. */
export function parseChunk(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return new Uint8Array(value);
  throw new InvalidValueError("chunk", value, "bytes");
}

const pieceBytes = 512 * 1024;

/** The same bytes in pieces that fit into a message. */
export async function* inPieces(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    for (let offset = 0; offset < chunk.length; offset += pieceBytes) yield chunk.subarray(offset, offset + pieceBytes);
  }
}
