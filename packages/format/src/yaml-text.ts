import type { PlainValue } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";
import type { CST, Document, Node } from "yaml";
import { isAlias, isMap, isScalar, isSeq } from "yaml";
import { keyFault, maxDepth, numberFault, PlainFault, textFault } from "./plain.ts";

/** How much larger aliases may make a body, in characters and nodes: a few lines of them can ask for more than any machine holds. */
const maxAliasGrowth: number = 1024 * 1024;

const coreTags: ReadonlySet<string> = new Set(
  ["str", "int", "float", "bool", "null", "map", "seq"].map((name) => `tag:yaml.org,2002:${name}`),
);

/** A refusal with the offset of what is refused. */
export class YamlFault extends PlainFault {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** A value with what an alias to it costs. */
interface Weighed {
  readonly value: PlainValue;
  /** Characters and nodes, aliases written out. */
  readonly weight: number;
  /** Levels of lists and maps, 0 for a scalar. */
  readonly height: number;
}

type CollectionToken = Extract<CST.Token, { type: "block-map" | "block-seq" | "flow-collection" }>;

function isCollection(token: CST.Token): token is CollectionToken {
  return token.type === "block-map" || token.type === "block-seq" || token.type === "flow-collection";
}

/** Refuses what is open in the parser where it is too deep already. */
export function checkOpenDepth(stack: readonly CST.Token[]): void {
  const first = stack.filter(isCollection)[maxDepth];
  if (first !== undefined) throw new YamlFault(`more than ${maxDepth} levels`, first.offset);
}

/** Refuses deep nesting before the parts that recurse see it. */
export function checkYamlDepth(document: CST.Document): void {
  const open: { readonly token: CST.Token; readonly depth: number }[] = [];
  const push = (token: CST.Token | null | undefined, depth: number): void => {
    if (token !== null && token !== undefined) open.push({ token, depth });
  };
  push(document.value, 0);
  for (let entry = open.pop(); entry !== undefined; entry = open.pop()) {
    const { token, depth } = entry;
    if (!isCollection(token)) continue;
    if (depth >= maxDepth) throw new YamlFault(`more than ${maxDepth} levels`, token.offset);
    for (const item of token.items) {
      push(item.key, depth + 1);
      push(item.value, depth + 1);
    }
  }
}

/** The value of a composed document, bounded, or a {@link YamlFault}. */
export function yamlValue(document: Document.Parsed): PlainValue {
  const { contents } = document;
  return contents === null ? null : new YamlWalker().value(contents, 0).value;
}

class YamlWalker {
  /** By name, in document order: an anchor may be given anew, and an alias means the last one before it. */
  readonly #anchors = new Map<string, Weighed>();
  #growth = 0;

  value(node: Node, depth: number): Weighed {
    if (isAlias(node)) return this.#alias(node.source, depth, offsetOf(node));
    checkTag(node);
    if (isScalar(node)) return this.#kept(node.anchor, scalarOf(node));
    if (depth >= maxDepth) throw new YamlFault(`more than ${maxDepth} levels`, offsetOf(node));
    if (isMap(node)) return this.#kept(node.anchor, this.#map(node, depth));
    if (isSeq(node)) return this.#kept(node.anchor, this.#list(node, depth));
    throw new YamlFault("a value of an unknown kind", offsetOf(node));
  }

  #kept(anchor: string | undefined, weighed: Weighed): Weighed {
    if (anchor !== undefined) this.#anchors.set(anchor, weighed);
    return weighed;
  }

  #alias(name: string, depth: number, offset: number): Weighed {
    const target = this.#anchors.get(name);
    // Also where the alias stands within what it names: that is kept only once it is whole.
    if (target === undefined)
      throw new YamlFault(`the alias *${name} names nothing that stands whole before it`, offset);
    this.#growth += target.weight;
    if (this.#growth > maxAliasGrowth)
      throw new YamlFault(`aliases make the text more than ${maxAliasGrowth} characters larger`, offset);
    if (depth + target.height > maxDepth) throw new YamlFault(`more than ${maxDepth} levels`, offset);
    return target;
  }

  #map(node: Extract<Node, { items: unknown[] }>, depth: number): Weighed {
    const map: Record<string, PlainValue> = {};
    let weight = 1;
    let height = 0;
    for (const pair of node.items as readonly { readonly key: Node; readonly value: Node | null }[]) {
      const key = this.#key(pair.key);
      if (Object.hasOwn(map, key))
        throw new YamlFault(`the key ${describeValue(key)} stands twice`, offsetOf(pair.key));
      const item = pair.value === null ? nothing : this.value(pair.value, depth + 1);
      map[key] = item.value;
      weight += key.length + item.weight;
      height = Math.max(height, item.height);
    }
    return { value: map, weight, height: height + 1 };
  }

  #list(node: Extract<Node, { items: unknown[] }>, depth: number): Weighed {
    let weight = 1;
    let height = 0;
    const list = (node.items as readonly (Node | null)[]).map((child) => {
      const item = child === null ? nothing : this.value(child, depth + 1);
      weight += item.weight;
      height = Math.max(height, item.height);
      return item.value;
    });
    return { value: list, weight, height: height + 1 };
  }

  #key(node: Node): string {
    const offset = offsetOf(node);
    if (!isScalar(node)) throw new YamlFault("a key is a text", offset);
    if (node.value === "<<" && node.type === "PLAIN")
      throw new YamlFault("merge keys are not part of YAML 1.2", offset);
    checkTag(node);
    const { value } = this.#kept(node.anchor, scalarOf(node));
    if (typeof value !== "string")
      throw new YamlFault(`a key is a text, put ${describeValue(value)} in quotes`, offset);
    const fault = keyFault(value);
    if (fault !== undefined) throw new YamlFault(fault, offset);
    return value;
  }
}

const nothing: Weighed = { value: null, weight: 1, height: 0 };

function scalarOf(node: Extract<Node, { source?: string }>): Weighed {
  const offset = offsetOf(node);
  const given = (node as { readonly value: unknown }).value;
  if (typeof given === "bigint" || typeof given === "number") {
    const value = Number(given);
    const fault = numberFault(value);
    if (fault !== undefined) throw new YamlFault(fault, offset);
    // Minus zero is zero in every other format.
    return { value: value + 0, weight: 24, height: 0 };
  }
  if (given === null || typeof given === "boolean") {
    return { value: given, weight: 5, height: 0 };
  }
  if (typeof given !== "string") throw new YamlFault(`${describeValue(given)} is not plain data`, offset);
  const fault = textFault(given);
  if (fault !== undefined) throw new YamlFault(fault, offset);
  return { value: given, weight: 1 + given.length, height: 0 };
}

/** Tags beyond the core schema would need code to mean anything; values that do not fit a core tag are the composer's to refuse. */
function checkTag(node: Node): void {
  const { tag } = node as { readonly tag?: string };
  if (tag === undefined || coreTags.has(tag)) return;
  throw new YamlFault(`the tag ${describeValue(tag)} is refused`, offsetOf(node));
}

function offsetOf(node: Node): number {
  return node.range?.[0] ?? 0;
}
