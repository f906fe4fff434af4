/**
 * A TypeScript file as the house rules see it: parsed once, then asked.
 */
import { parseSync } from "oxc-parser";

/** A node of the syntax tree; only what every node has is typed. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface ParsedSource {
  /** Relative to the repository, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly program: SyntaxNode;
  /** What it imports and re-exports from, types included. */
  readonly specifiers: readonly string[];
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

/** Calls `visit` for a node and everything below it, parents first; `ancestors` ends with the direct parent. */
export function walk(
  node: SyntaxNode,
  visit: (node: SyntaxNode, ancestors: readonly SyntaxNode[]) => void,
  ancestors: readonly SyntaxNode[] = [],
): void {
  visit(node, ancestors);
  const below = [...ancestors, node];
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit, below);
    }
  }
}

/** Parses a file; throws with its path where it is not TypeScript. */
export function parseSource(path: string, text: string): ParsedSource {
  const parsed = parseSync(path, text, { sourceType: "module" });
  const broken = parsed.errors[0];
  if (broken !== undefined) throw new Error(`${path}: ${broken.message}`);
  const specifiers = [
    ...parsed.module.staticImports.map((entry) => entry.moduleRequest.value),
    ...parsed.module.staticExports.flatMap((entry) =>
      entry.entries.flatMap(({ moduleRequest }) => moduleRequest?.value ?? []),
    ),
    ...parsed.module.dynamicImports.map((entry) =>
      text.slice(entry.moduleRequest.start + 1, entry.moduleRequest.end - 1),
    ),
  ];
  return { path, text, program: parsed.program as unknown as SyntaxNode, specifiers: [...new Set(specifiers)] };
}

/** The line of an offset, from 1. */
export function lineAt(source: ParsedSource, offset: number): number {
  let line = 1;
  for (
    let index = source.text.indexOf("\n");
    index !== -1 && index < offset;
    index = source.text.indexOf("\n", index + 1)
  ) {
    line += 1;
  }
  return line;
}

/** `path:line`, as editors take it. */
export function placeOf(source: ParsedSource, node: SyntaxNode): string {
  return `${source.path}:${lineAt(source, node.start)}`;
}

/** The name of an identifier node. */
export function identifierName(node: unknown): string | undefined {
  return isNode(node) && node.type === "Identifier" ? String(node["name"]) : undefined;
}
