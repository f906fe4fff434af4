import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node } from "yaml";
import { hint } from "../cli/suggest.ts";
import { ConfigInvalidError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { settings, type SettingName } from "./settings.ts";

/** A value of a file and the place that it stands at: `revoada.yaml:3:9`. */
export interface FileValue {
  readonly value: unknown;
  readonly source: string;
}

/** Larger files are no configurations. */
const maxFileBytes = 1024 * 1024;

/**
 * Reads a configuration: YAML or JSON, an object with the names of settings. `shownPath` is what messages call it.
 *
 * Rejects with `CLI_FILE_UNAVAILABLE`, `CLI_FILE_TOO_LARGE`, or `CONFIG_INVALID` with file, line and column.
 */
export async function readConfigFile(shownPath: string, path: string): Promise<ReadonlyMap<SettingName, FileValue>> {
  const { document, placeOf } = parseYaml(shownPath, await readBounded(path, maxFileBytes, shownPath));
  const values = new Map<SettingName, FileValue>();
  const { contents } = document;
  if (contents === null) return values;
  if (!isMap(contents)) throw new ConfigInvalidError(placeOf(contents), "expected an object of settings");
  for (const { key, value } of contents.items) {
    const name = isScalar(key) ? String(key.value) : "";
    const source = placeOf((value ?? key) as Node);
    if (!Object.hasOwn(settings, name)) {
      const known = Object.keys(settings);
      throw new ConfigInvalidError(
        placeOf(key as Node),
        `no such setting: ${JSON.stringify(name)}${hint(name, known)}`,
      );
    }
    values.set(name as SettingName, { value: plainOf(document, value as Node | null, source), source });
  }
  return values;
}

/** Reads a file that holds one plain value, such as a strategy. Rejects as {@link readConfigFile} does. */
export async function readPlainFile(shownPath: string, path: string): Promise<FileValue> {
  const { document } = parseYaml(shownPath, await readBounded(path, maxFileBytes, shownPath));
  return { value: plainOf(document, document.contents, shownPath), source: shownPath };
}

function plainOf(document: Document, node: Node | null, source: string): unknown {
  if (node === null) return null;
  try {
    return node.toJS(document, { maxAliasCount: 100 });
  } catch (error) {
    throw new ConfigInvalidError(source, error instanceof Error ? error.message : String(error));
  }
}

function parseYaml(
  shownPath: string,
  bytes: Uint8Array,
): { readonly document: Document; readonly placeOf: (node: Node) => string } {
  const lines = new LineCounter();
  const placeAt = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${shownPath}:${line}:${col}`;
  };
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigInvalidError(shownPath, "it is not UTF-8 text");
  }
  const document = parseDocument(text, { lineCounter: lines, strict: true, uniqueKeys: true, prettyErrors: false });
  const [fault] = document.errors;
  if (fault !== undefined) throw new ConfigInvalidError(placeAt(fault.pos[0]), fault.message);
  return { document, placeOf: (node) => placeAt(node.range?.[0] ?? 0) };
}
