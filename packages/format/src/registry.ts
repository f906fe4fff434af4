import type { FormatAdapter, FormatRegistry, ResourceFormat } from "@revoada/fabric";
import { InvalidValueError } from "@revoada/fabric";
import { FormatUnsupportedError } from "./errors.ts";
import { jsonFormat } from "./json.ts";
import { nativeFormat } from "./native.ts";
import { yamlFormat } from "./yaml.ts";

/**
 * A registry of these adapters, in this order. Throws `FABRIC_INVALID_VALUE` where two are for one format.
 *
 * @example
 * ```ts
 * const formats = formatRegistry([yamlFormat(), jsonFormat()]);
 * const documents = formats.get("yaml").decode(bytes, "web.yaml");
 * ```
 */
export function formatRegistry(adapters: readonly FormatAdapter[]): FormatRegistry {
  const byName = new Map<string, FormatAdapter>();
  for (const adapter of adapters) {
    if (byName.has(adapter.format))
      throw new InvalidValueError("adapters", adapter.format, "one adapter for each format");
    byName.set(adapter.format, adapter);
  }
  const names: readonly ResourceFormat[] = Object.freeze(adapters.map(({ format }) => format));
  return {
    get(format: string): FormatAdapter {
      const adapter = byName.get(format);
      if (adapter === undefined) throw new FormatUnsupportedError(format, names);
      return adapter;
    },
    formats: () => names,
  };
}

/** YAML, JSON and the native format. */
export function defaultFormats(): FormatRegistry {
  return formatRegistry([yamlFormat(), jsonFormat(), nativeFormat()]);
}
