/**
 * The house rules about files, manifests and pages rather than code.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { root, type ExportTarget, type WorkspacePackage } from "../workspace.ts";

/** Names that tools and hosts of repositories prescribe. */
const prescribedNames = new Set([
  "ALGORITHM.md",
  "AGENTS.md",
  "CHANGELOG.md",
  "CODE_OF_CONDUCT.md",
  "CONTRIBUTING.md",
  "LICENSE",
  "README.md",
  "SECURITY.md",
]);
const kebabName = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;

/** Each segment of a path is kebab-case. */
export function nameViolations(path: string): readonly string[] {
  const wrong = path.split("/").filter((segment) => !prescribedNames.has(segment) && !kebabName.test(segment));
  return wrong.map((segment) => `${path}: "${segment}" is not kebab-case`);
}

// Composed, so that this file does not hold one itself.
const machinePath = new RegExp(`(?<![\\w.~-])/(${["home", "Users", "work", "root"].join("|")})/[\\w.-]+`, "g");

/** Paths that exist on one machine only. */
export function machinePathViolations(path: string, text: string): readonly string[] {
  return [...text.matchAll(machinePath)].map((match) => `${path}: path of a machine: ${match[0]}`);
}

function targets(target: ExportTarget): readonly string[] {
  return typeof target === "string" ? [target] : Object.values(target).flatMap(targets);
}

function exportViolations({ folder, manifest }: WorkspacePackage): readonly string[] {
  const place = `${folder}/package.json`;
  const violations: string[] = [];
  for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
    if ([subpath, ...targets(target)].some((text) => text.includes("*")))
      violations.push(`${place}: wildcard in "${subpath}"`);
    if (subpath === "./package.json") continue;
    const conditions = typeof target === "string" ? [] : Object.keys(target);
    if (conditions.join() !== "@revoada/source,types,default") {
      violations.push(
        `${place}: "${subpath}" has the conditions [${conditions.join(", ")}], expected @revoada/source, types, default`,
      );
      continue;
    }
    const source = (target as Readonly<Record<string, ExportTarget>>)["@revoada/source"];
    if (typeof source !== "string" || !existsSync(join(root, folder, source))) {
      violations.push(`${place}: "${subpath}" has no source at ${JSON.stringify(source)}`);
    }
  }
  return violations;
}

/** What is in this repository. Examples of packages by strangers have a scope of their own. */
const ownScope = /^@(?:revoada|example)\//;

function dependencyViolations({ folder, manifest }: WorkspacePackage): readonly string[] {
  const violations: string[] = [];
  for (const group of ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"] as const) {
    for (const [name, range] of Object.entries(manifest[group] ?? {})) {
      const expected = ownScope.test(name) ? "workspace:^" : "catalog:";
      if (range !== expected)
        violations.push(`${folder}/package.json: ${group}.${name} is "${range}", expected "${expected}"`);
    }
  }
  const isLibrary = folder.startsWith("packages/") && manifest.private !== true && manifest.name !== "@revoada/fabric";
  if (isLibrary && manifest.peerDependencies?.["@revoada/fabric"] === undefined) {
    violations.push(`${folder}/package.json: @revoada/fabric is not a peer dependency`);
  }
  if (manifest.name === "@revoada/fabric" && Object.keys(manifest.dependencies ?? {}).length > 0) {
    violations.push(`${folder}/package.json: fabric has runtime dependencies`);
  }
  return violations;
}

/** What a manifest must say. */
export function manifestViolations(candidate: WorkspacePackage): readonly string[] {
  const { folder, manifest } = candidate;
  const violations: string[] = [];
  const demand = (isMet: boolean, what: string): void => {
    if (!isMet) violations.push(`${folder}/package.json: ${what}`);
  };
  demand(ownScope.test(manifest.name), "name is not in the scope @revoada, nor an example in the scope @example");
  demand(manifest.name.startsWith("@revoada/") || folder.startsWith("examples/"), "name is that of an example");
  demand((manifest.description ?? "") !== "", "no description");
  demand(manifest.license === "Apache-2.0", "license is not Apache-2.0");
  demand(manifest.type === "module", "type is not module");
  demand(manifest.main === undefined, "main: the exports map says it all");
  demand(manifest.engines?.["node"] === ">=22.18", "engines.node is not >=22.18");
  if (manifest.private !== true) {
    demand(manifest.exports !== undefined, "no exports map");
    demand(manifest.sideEffects === false, "sideEffects is not false");
    demand(manifest.files?.join() === "dist,src", "files is not dist and src");
  }
  return [...violations, ...exportViolations(candidate), ...dependencyViolations(candidate)];
}

/** What a package's README must say: that it exists, and why each runtime dependency is there. */
export function readmeViolations(
  { folder, manifest }: WorkspacePackage,
  readme: string | undefined,
): readonly string[] {
  if (readme === undefined) return [`${folder}: no README.md`];
  return Object.keys(manifest.dependencies ?? {})
    .filter((name) => !name.startsWith("@revoada/") && !readme.includes(name))
    .map((name) => `${folder}/README.md: says nothing of the dependency ${name}`);
}

const markdownLink = /\]\(([^)\s]+)\)/g;

/** Relative links of a page that lead nowhere. */
export function linkViolations(path: string, text: string): readonly string[] {
  const violations: string[] = [];
  for (const [, target = ""] of text.matchAll(markdownLink)) {
    if (/^([a-z]+:|#)/.test(target)) continue;
    const file = target.split("#")[0] ?? "";
    if (!existsSync(join(root, dirname(path), decodeURI(file))))
      violations.push(`${path}: link to ${target}, which is not there`);
  }
  return violations;
}
