/**
 * The house rules that one file shows: each takes a parsed file and tells what breaks it, as `path:line: what`.
 */
import { identifierName, lineAt, placeOf, walk, type ParsedSource, type SyntaxNode } from "./source.ts";

export type Rule = (source: ParsedSource) => readonly string[];

/** Tools that load their configuration by its default export. */
const defaultExportsAllowed = /(^|\/)[\w.-]+\.config\.ts$|^tools\/count-reporter\.ts$/;

export const noDefaultExports: Rule = (source) => {
  const found: string[] = [];
  if (defaultExportsAllowed.test(source.path)) return found;
  walk(source.program, (node) => {
    if (node.type === "ExportDefaultDeclaration") found.push(`${placeOf(source, node)}: default export`);
  });
  return found;
};

export const erasableOnly: Rule = (source) => {
  const found: string[] = [];
  walk(source.program, (node) => {
    if (node.type === "TSEnumDeclaration") found.push(`${placeOf(source, node)}: enum`);
    if (node.type === "TSModuleDeclaration" && node["kind"] === "namespace")
      found.push(`${placeOf(source, node)}: namespace`);
    if (node.type === "TSParameterProperty") found.push(`${placeOf(source, node)}: parameter property`);
  });
  return found;
};

/** Relative imports name the file as it is, so that Node runs sources and the build rewrites them. */
export const relativeImportsNameFiles: Rule = (source) =>
  source.specifiers
    .filter((specifier) => specifier.startsWith(".") && !/\.(ts|mjs|json)$/.test(specifier))
    .map((specifier) => `${source.path}: relative import without its extension: ${specifier}`);

const testFunctions = new Set(["test", "it", "describe", "suite", "bench"]);
const forbiddenModifiers = new Set(["only", "skip", "todo", "fails"]);

/** Every test runs; one that lacks a program says so with `skipIf`, which the closing lines of a run name. */
export const noFocusedOrSkippedTests: Rule = (source) => {
  const found: string[] = [];
  walk(source.program, (node) => {
    if (node.type !== "MemberExpression") return;
    const owner = identifierName(node["object"]);
    const modifier = identifierName(node["property"]);
    if (owner === undefined || modifier === undefined) return;
    if (testFunctions.has(owner) && forbiddenModifiers.has(modifier)) {
      found.push(`${placeOf(source, node)}: ${owner}.${modifier}`);
    }
  });
  return found;
};

// In two parts each, so that this file does not hold one itself.
const unfinishedMarks = /\b(?:TO(?:DO)|FIX(?:ME)|XX(?:X)|HA(?:CK))\b/g;

export const nothingUnfinished: Rule = (source) =>
  [...source.text.matchAll(unfinishedMarks)].map(
    (match) => `${source.path}:${lineAt(source, match.index)}: ${match[0]}`,
  );

const maxFunctionLines = 70;

function isFunction(node: SyntaxNode): boolean {
  return ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"].includes(node.type);
}

/** The callback of `describe` is a list of tests, not a function that anybody follows. */
function isSuite(ancestors: readonly SyntaxNode[]): boolean {
  const parent = ancestors.at(-1);
  if (parent?.type !== "CallExpression") return false;
  const callee = parent["callee"] as SyntaxNode;
  const called = callee.type === "CallExpression" ? (callee["callee"] as SyntaxNode) : callee;
  const name = identifierName(called) ?? identifierName(called["object"]);
  return name === "describe" || name === "suite";
}

export const functionsAreShort: Rule = (source) => {
  const found: string[] = [];
  walk(source.program, (node, ancestors) => {
    if (!isFunction(node) || isSuite(ancestors)) return;
    const lines = lineAt(source, node.end) - lineAt(source, node.start) + 1;
    if (lines > maxFunctionLines) found.push(`${placeOf(source, node)}: function of ${lines} lines`);
  });
  return found;
};

const impureGlobals = new Set([
  "Date",
  "Promise",
  "performance",
  "crypto",
  "process",
  "Buffer",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "clearTimeout",
  "clearInterval",
  "queueMicrotask",
  "fetch",
  "globalThis",
]);

/** True where an identifier is a name and not a use: a property, a key, a type's member. */
function isOnlyAName(node: SyntaxNode, parent: SyntaxNode | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression") return parent["property"] === node && parent["computed"] === false;
  const keyed = ["Property", "PropertyDefinition", "MethodDefinition", "TSPropertySignature", "TSMethodSignature"];
  return (
    keyed.includes(parent.type) &&
    parent["key"] === node &&
    parent["computed"] === false &&
    parent["shorthand"] !== true
  );
}

/** A pure core: no Node modules, no time, no randomness, no promises. */
export const coreIsPure: Rule = (source) => {
  const found = source.specifiers
    .filter((specifier) => specifier.startsWith("node:") || specifier === "@revoada/fabric/node")
    .map((specifier) => `${source.path}: a pure core imports ${specifier}`);
  walk(source.program, (node, ancestors) => {
    const place = (): string => placeOf(source, node);
    if (node.type === "AwaitExpression") found.push(`${place()}: await in a pure core`);
    if (isFunction(node) && node["async"] === true) found.push(`${place()}: async function in a pure core`);
    if (
      node.type === "MemberExpression" &&
      identifierName(node["object"]) === "Math" &&
      identifierName(node["property"]) === "random"
    ) {
      found.push(`${place()}: Math.random in a pure core`);
    }
    const name = identifierName(node);
    if (name !== undefined && impureGlobals.has(name) && !isOnlyAName(node, ancestors.at(-1))) {
      found.push(`${place()}: ${name} in a pure core`);
    }
  });
  return found;
};

const errorCode = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;
/** Codes and names that others have given: Node's, OpenSSL's. */
const foreignCode = /^(ERR|TLS|CERT|DEPTH|UNABLE|SELF_SIGNED|SIG)_/;

/** The error codes that a file names: `LAYER_REASON` literals that are neither foreign nor names of the environment. */
export function errorCodesOf(source: ParsedSource): readonly string[] {
  const codes = new Set<string>();
  walk(source.program, (node, ancestors) => {
    if (node.type !== "Literal" || typeof node["value"] !== "string") return;
    const value = node["value"];
    if (!errorCode.test(value) || foreignCode.test(value)) return;
    const parent = ancestors.at(-1);
    if (parent?.type === "MemberExpression" && parent["property"] === node) return;
    codes.add(value);
  });
  return [...codes];
}
