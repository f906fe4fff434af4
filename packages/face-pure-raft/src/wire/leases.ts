import {
  type FaceLeases,
  FieldReader,
  InvalidValueError,
  type Lease,
  type LeaseId,
  type LeaseOptions,
  type LeasePage,
  type LeaseRequest,
  type LeaseResourcePage,
  parseDutyName,
  parseLeaseId,
  parseLogIndex,
  parseResourceRef,
  parseRevision,
  parseTerm,
} from "@revoada/fabric";
import { parseAnswer } from "./answer.ts";
import { compact } from "./cbor.ts";

/** Names of the verbs about leases. */
export const leaseVerbNames = [
  "lease.grant",
  "lease.keepAlive",
  "lease.revoke",
  "lease.timeToLive",
  "lease.list",
  "lease.resources",
] as const;

/** What can be asked about leases, each with one answer. */
export type LeaseVerb = (typeof leaseVerbNames)[number];

export function isLeaseVerb(verb: string): verb is LeaseVerb {
  return (leaseVerbNames as readonly string[]).includes(verb);
}

/** Carries a question to a face elsewhere and brings its answer, still unchecked. */
type Ask = (verb: LeaseVerb, parameters: unknown, signal: AbortSignal | undefined) => Promise<unknown>;

/** The most that a question may have the other side wait. */
const maxTimeoutMs = 300_000;
const maxHolderLength = 128;

/** The leases of a face elsewhere. Whether it has any is for it to say. */
export function leaseVerbs(ask: Ask): FaceLeases {
  const asked = async <T>(
    verb: LeaseVerb,
    parameters: Record<string, unknown>,
    { signal, timeoutMs }: LeaseOptions = {},
    parse: (answer: unknown) => T,
  ): Promise<T> => {
    const answer = await ask(verb, compact({ ...parameters, timeoutMs }), signal);
    return parseAnswer(verb, () => parse(answer));
  };
  return {
    supported: true,
    grant: async ({ ttlMs, duty, holder }, options) =>
      asked("lease.grant", { ttlMs, duty, holder }, options, (answer) => parseLease(answer, "answer")),
    keepAlive: async (id, options) =>
      asked("lease.keepAlive", { lease: parseLeaseId(id) }, options, (answer) => ({
        ttlMs: takeMs(new FieldReader(answer, "answer"), "ttlMs"),
      })),
    revoke: async (id, options) =>
      asked("lease.revoke", { lease: parseLeaseId(id) }, options, (answer) => ({
        revision: parseRevision(new FieldReader(answer, "answer").take("revision")),
      })),
    timeToLive: async (id, options) =>
      asked("lease.timeToLive", { lease: parseLeaseId(id) }, options, (answer) => ({
        ...parseLease(answer, "answer"),
        remainingMs: takeMs(new FieldReader(answer, "answer"), "remainingMs"),
      })),
    list: async ({ after, limit, ...options } = {}) => asked("lease.list", { after, limit }, options, parseLeasePage),
    resources: async (id, { after, limit, ...options } = {}) =>
      asked("lease.resources", { lease: parseLeaseId(id), after, limit }, options, parseResourcePage),
  };
}

/** Asks about leases with untrusted parameters. Throws `FABRIC_INVALID_VALUE`. */
export function runLease(
  leases: FaceLeases,
  verb: LeaseVerb,
  parameters: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  const fields = new FieldReader(parameters, verb);
  const options = { ...takeTimeout(fields), signal };
  switch (verb) {
    case "lease.grant": {
      const request = takeRequest(fields);
      fields.finish();
      return leases.grant(request, options);
    }
    case "lease.list": {
      const after = fields.take("after");
      const page = { ...(after === undefined ? {} : { after: parseLeaseId(after, fields.at("after")) }) };
      const limit = takeLimit(fields);
      fields.finish();
      return leases.list({ ...options, ...page, ...limit });
    }
    case "lease.resources": {
      const id = takeId(fields);
      const after = fields.take("after");
      const page = { ...(after === undefined ? {} : { after: parseResourceRef(after, fields.at("after")) }) };
      const limit = takeLimit(fields);
      fields.finish();
      return leases.resources(id, { ...options, ...page, ...limit });
    }
    case "lease.keepAlive":
    case "lease.revoke":
    case "lease.timeToLive": {
      const id = takeId(fields);
      fields.finish();
      if (verb === "lease.keepAlive") return leases.keepAlive(id, options);
      return verb === "lease.revoke" ? leases.revoke(id, options) : leases.timeToLive(id, options);
    }
  }
}

function takeId(fields: FieldReader): LeaseId {
  return parseLeaseId(fields.take("lease"), fields.at("lease"));
}

/** What a lease may be is for the catalog to say. */
function takeRequest(fields: FieldReader): LeaseRequest {
  const ttlMs = fields.number("ttlMs");
  const duty = fields.take("duty");
  const holder = fields.take("holder");
  if (holder !== undefined && typeof holder !== "string")
    throw new InvalidValueError(fields.at("holder"), holder, "a text");
  return {
    ttlMs,
    ...(duty === undefined ? {} : { duty: parseDutyName(duty, fields.at("duty")) }),
    ...(holder === undefined ? {} : { holder }),
  };
}

function takeTimeout(fields: FieldReader): { readonly timeoutMs?: number } {
  if (fields.take("timeoutMs") === undefined) return {};
  const timeoutMs = takeMs(fields, "timeoutMs");
  if (timeoutMs < 1 || timeoutMs > maxTimeoutMs)
    throw new InvalidValueError(fields.at("timeoutMs"), timeoutMs, `milliseconds from 1 to ${maxTimeoutMs}`);
  return { timeoutMs };
}

function takeLimit(fields: FieldReader): { readonly limit?: number } {
  return fields.take("limit") === undefined ? {} : { limit: fields.number("limit") };
}

function takeMs(fields: FieldReader, name: string): number {
  const value = fields.take(name);
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidValueError(fields.at(name), value, "whole milliseconds");
}

function parseLease(value: unknown, path: string): Lease {
  const fields = new FieldReader(value, path);
  const token = new FieldReader(fields.take("token"), fields.at("token"));
  const [duty, holder] = [fields.take("duty"), fields.take("holder")];
  if (holder !== undefined && (typeof holder !== "string" || holder.length > maxHolderLength))
    throw new InvalidValueError(fields.at("holder"), holder, `a text of at most ${maxHolderLength} characters`);
  return {
    id: parseLeaseId(fields.take("id"), fields.at("id")),
    ttlMs: takeMs(fields, "ttlMs"),
    keys: takeMs(fields, "keys"),
    token: {
      term: parseTerm(token.take("term"), token.at("term")),
      index: parseLogIndex(token.take("index"), token.at("index")),
    },
    ...(duty === undefined ? {} : { duty: parseDutyName(duty, fields.at("duty")) }),
    ...(holder === undefined ? {} : { holder }),
  };
}

function parsePage<T>(value: unknown, name: string, parse: (item: unknown, path: string) => T): readonly T[] {
  if (!Array.isArray(value)) throw new InvalidValueError(`answer.${name}`, value, "a list");
  return value.map((item, index) => parse(item, `answer.${name}[${index}]`));
}

function parseLeasePage(answer: unknown): LeasePage {
  const fields = new FieldReader(answer, "answer");
  const next = fields.take("next");
  return {
    leases: parsePage(fields.take("leases"), "leases", parseLease),
    ...(next === undefined ? {} : { next: parseLeaseId(next, fields.at("next")) }),
  };
}

function parseResourcePage(answer: unknown): LeaseResourcePage {
  const fields = new FieldReader(answer, "answer");
  const next = fields.take("next");
  return {
    resources: parsePage(fields.take("resources"), "resources", parseResourceRef),
    ...(next === undefined ? {} : { next: parseResourceRef(next, fields.at("next")) }),
  };
}
