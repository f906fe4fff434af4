import { InvalidValueError } from "./errors.ts";
import type { ResourceRef, ResourceSelector } from "./resource.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Longest part of a name, in bytes. */
export const maxNameLength = 253;

const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._:@-]{0,251}[A-Za-z0-9])?$/;
const kindPattern = /^[A-Za-z][A-Za-z0-9]{0,62}$/;
const groupPattern = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const namespacePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function checkPart(pattern: RegExp, expected: string, value: unknown, path: string): string {
  if (typeof value === "string" && pattern.test(value) && !value.includes("..")) return value;
  throw new InvalidValueError(path, value, expected);
}

/**
 * Checks an untrusted reference, once and for all faces: lengths, alphabet, no `..`, no NUL, no separators.
 *
 * Group: a DNS name of at most 253 characters, absent or empty for the core group. Kind: 1–63 letters and digits. Name: 1–253 of
 * letters, digits, `.`, `_`, `:`, `@`, `-`. Namespace: a DNS label, absent or empty for none. Throws `FABRIC_INVALID_VALUE`.
 */
export function parseResourceRef(value: unknown, path = "resource"): ResourceRef {
  if (typeof value !== "object" || value === null)
    throw new InvalidValueError(path, value, "an object with kind and name");
  const { group, kind, name, namespace } = value as Record<string, unknown>;
  return {
    ...(group === undefined || group === ""
      ? {}
      : { group: checkPart(groupPattern, "a DNS name of at most 253 characters", group, `${path}.group`) }),
    kind: checkPart(kindPattern, "1 to 63 letters and digits, a letter first", kind, `${path}.kind`),
    name: checkPart(
      namePattern,
      "1 to 253 of letters, digits, '.', '_', ':', '@' and '-', without '..'",
      name,
      `${path}.name`,
    ),
    ...(namespace === undefined || namespace === ""
      ? {}
      : {
          namespace: checkPart(
            namespacePattern,
            "a DNS label of at most 63 characters",
            namespace,
            `${path}.namespace`,
          ),
        }),
  };
}

/** One line for people: `Deployment.apps shop/web`, as the command line takes a kind and its group. */
export function formatResourceRef(ref: ResourceRef): string {
  const kind = ref.group === undefined ? ref.kind : `${ref.kind}.${ref.group}`;
  return `${kind} ${ref.namespace === undefined ? "" : `${ref.namespace}/`}${ref.name}`;
}

function pushPart(target: number[], part: string): void {
  const bytes = encoder.encode(part);
  target.push(bytes.length, ...bytes);
}

/** The catalog key of a resource: (group, kind, namespace, name), each as one length byte and its UTF-8 bytes. */
export function resourceKey(ref: ResourceRef): Uint8Array {
  const checked = parseResourceRef(ref);
  const key: number[] = [];
  for (const part of [checked.group ?? "", checked.kind, checked.namespace ?? "", checked.name]) pushPart(key, part);
  return Uint8Array.from(key);
}

/** The resource that a catalog key names. Throws `FABRIC_INVALID_VALUE` for bytes that no {@link resourceKey} gives. */
export function resourceRefOfKey(key: Uint8Array): ResourceRef {
  const parts: string[] = [];
  let offset = 0;
  while (offset < key.length && parts.length < 4) {
    const length = key[offset] as number;
    const end = offset + 1 + length;
    if (end > key.length) throw new InvalidValueError("key", key, "four length-prefixed parts");
    try {
      parts.push(decoder.decode(key.subarray(offset + 1, end)));
    } catch {
      throw new InvalidValueError("key", key, "four parts of UTF-8");
    }
    offset = end;
  }
  if (parts.length !== 4 || offset !== key.length)
    throw new InvalidValueError("key", key, "four length-prefixed parts");
  const [group, kind, namespace, name] = parts;
  return parseResourceRef({ group, kind, namespace, name }, "key");
}

/**
 * The range of keys that hold everything a selector can match, `end` exclusive. A selector that leaves out an earlier part and
 * gives a later one still has to be matched one by one: see {@link matchesSelector}.
 */
export function resourceRange(selector: ResourceSelector): { readonly start: Uint8Array; readonly end: Uint8Array } {
  const prefix: number[] = [];
  for (const part of [selector.group, selector.kind, selector.namespace]) {
    if (part === undefined) break;
    pushPart(prefix, part);
  }
  const end = [...prefix];
  // A length byte never reaches 255 (names end at 253), so the prefix followed by 255 is above all that starts with it.
  end.push(255);
  return { start: prefix.length === 0 ? Uint8Array.of(0) : Uint8Array.from(prefix), end: Uint8Array.from(end) };
}

/** True where a selector means this resource. */
export function matchesSelector(selector: ResourceSelector, ref: ResourceRef): boolean {
  return (
    (selector.group === undefined || selector.group === (ref.group ?? "")) &&
    (selector.kind === undefined || selector.kind === ref.kind) &&
    (selector.namespace === undefined || selector.namespace === (ref.namespace ?? ""))
  );
}

/** Checks an untrusted selector. Throws `FABRIC_INVALID_VALUE`. */
export function parseResourceSelector(value: unknown, path = "selector"): ResourceSelector {
  if (typeof value !== "object" || value === null) throw new InvalidValueError(path, value, "an object");
  const { group, kind, namespace } = value as Record<string, unknown>;
  return {
    ...(group === undefined
      ? {}
      : { group: group === "" ? "" : checkPart(groupPattern, "a DNS name, or empty", group, `${path}.group`) }),
    ...(kind === undefined ? {} : { kind: checkPart(kindPattern, "1 to 63 letters and digits", kind, `${path}.kind`) }),
    ...(namespace === undefined
      ? {}
      : {
          namespace:
            namespace === ""
              ? ""
              : checkPart(namespacePattern, "a DNS label, or empty", namespace, `${path}.namespace`),
        }),
  };
}
