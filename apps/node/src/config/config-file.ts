import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document, type Node } from "yaml";
import { hint } from "../cli/suggest.ts";
import { ConfigInvalidError } from "../errors.ts";
import { readBounded } from "../files.ts";
import { settings, type SettingName } from "./settings.ts";

/** A value of a file and the place that it stands at: `revoada.yaml:3:9`. */
export interface FileValue {
  readonly value: unknown;
  readonly source: string;
  /** The place of what stands under a path in the value, or of the closest thing around it that is there. */
  readonly placeOf: (path: readonly string[]) => string;
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
    const plain = plainOf(document, value as Node | null, source);
    values.set(name as SettingName, {
      value: plain,
      source,
      placeOf: (inside) => placeOf(nodeAt(document, [name, ...inside]) ?? ((value ?? key) as Node)),
    });
  }
  return values;
}

/** Reads a file that holds one plain value, such as a strategy. Rejects as {@link readConfigFile} does. */
export async function readPlainFile(shownPath: string, path: string): Promise<FileValue> {
  const { document, placeOf } = parseYaml(shownPath, await readBounded(path, maxFileBytes, shownPath));
  return {
    value: plainOf(document, document.contents, shownPath),
    source: shownPath,
    placeOf: (inside) => {
      const node = nodeAt(document, inside);
      return node === undefined ? shownPath : placeOf(node);
    },
  };
}

/** What stands under a path; where nothing does, the closest thing around it. */
function nodeAt(document: Document, path: readonly string[]): Node | undefined {
  for (let length = path.length; length >= 0; length -= 1) {
    const node: unknown = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node;
  }
  return undefined;
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
