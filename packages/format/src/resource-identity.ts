import type { PlainValue, ResourceRef } from "@revoada/fabric";
import { describeValue, InvalidValueError, parseResourceRef } from "@revoada/fabric";
import { isPlainObject, PlainFault } from "./plain.ts";

const versionPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** What a document calls the parts of a reference, for messages. */
type PartNames = Readonly<Record<"group" | "kind" | "name" | "namespace", string>>;

const plainNames: PartNames = { group: "group", kind: "kind", name: "name", namespace: "namespace" };
const kubernetesNames: PartNames = {
  group: "apiVersion",
  kind: "kind",
  name: "metadata.name",
  namespace: "metadata.namespace",
};

/** True where a value names itself as Kubernetes resources do. */
export function isKubernetesShape(value: PlainValue): value is Readonly<Record<string, PlainValue>> {
  return isPlainObject(value) && Object.hasOwn(value, "apiVersion");
}

/**
 * The resource that a document is about: `apiVersion`, `kind` and `metadata` as in Kubernetes, else `group`, `kind`, `name` and `namespace` at the top.
 * Throws {@link PlainFault}.
 */
export function resourceOf(value: PlainValue): ResourceRef {
  if (!isPlainObject(value))
    throw new PlainFault(`a document is a map with kind and name, got ${describeValue(value)}`);
  if (!isKubernetesShape(value)) return checkedRef(value, plainNames);
  const { metadata } = value;
  if (!isPlainObject(metadata))
    throw new PlainFault(`metadata: expected a map with a name, got ${describeValue(metadata)}`);
  const parts = {
    group: groupOf(value["apiVersion"]),
    kind: value["kind"],
    name: metadata["name"],
    namespace: metadata["namespace"],
  };
  return checkedRef(parts, kubernetesNames);
}

function groupOf(apiVersion: PlainValue | undefined): string {
  const parts = typeof apiVersion === "string" ? apiVersion.split("/") : [];
  const version = parts[parts.length - 1];
  const isWhole = parts.length === 1 || (parts.length === 2 && parts[0] !== "");
  if (isWhole && version !== undefined && versionPattern.test(version))
    return parts.length === 2 ? (parts[0] as string) : "";
  throw new PlainFault(`apiVersion: expected "version" or "group/version", got ${describeValue(apiVersion)}`);
}

function checkedRef(parts: Readonly<Record<string, PlainValue | undefined>>, names: PartNames): ResourceRef {
  // YAML's `namespace:` without a value is null and means none.
  const { group, kind, name, namespace } = parts;
  try {
    return parseResourceRef({ group: group ?? undefined, kind, name, namespace: namespace ?? undefined }, "");
  } catch (error) {
    if (!(error instanceof InvalidValueError)) throw error;
    const part = error.path.slice(1);
    const named = Object.hasOwn(names, part) ? names[part as keyof PartNames] : part;
    throw new PlainFault(`${named}: expected ${error.expected}, got ${describeValue(error.value)}`);
  }
}
