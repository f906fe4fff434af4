/**
 * What the workspace holds, read from the disk: the one list that every check in this folder goes by.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";

/** Absolute path of the repository. */
export const root = dirname(import.meta.dirname);

/** A condition of an `exports` entry, or its target. */
export type ExportTarget = string | { readonly [condition: string]: ExportTarget };

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly private?: boolean;
  readonly sideEffects?: boolean;
  readonly main?: string;
  readonly files?: readonly string[];
  readonly engines?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, ExportTarget>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface WorkspacePackage {
  /** Relative to the repository, with `/`: `packages/fabric`. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** The tags of its `turbo.json`. */
  readonly tags: readonly string[];
}

const groups = ["packages", "apps", "examples"] as const;

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Every package of the workspace (the root is not one), in the order of their folders. */
export function workspacePackages(): readonly WorkspacePackage[] {
  const packages: WorkspacePackage[] = [];
  for (const group of groups) {
    for (const name of readdirSync(join(root, group)).toSorted()) {
      const folder = join(root, group, name);
      if (!existsSync(join(folder, "package.json"))) continue;
      const turbo = existsSync(join(folder, "turbo.json")) ? readJson(join(folder, "turbo.json")) : {};
      packages.push({
        folder: `${group}/${name}`,
        manifest: readJson(join(folder, "package.json")) as Manifest,
        tags: (turbo as { tags?: readonly string[] }).tags ?? [],
      });
    }
  }
  return packages;
}

/** The packages that are published: each entry of theirs is public API. */
export function publishedPackages(): readonly WorkspacePackage[] {
  return workspacePackages().filter((candidate) => candidate.manifest.private !== true);
}

const generatedFolders = new Set(["node_modules", "dist", ".tsbuild", ".turbo", ".git", "coverage"]);

/** Files under `folder` that a person wrote, relative to the repository, with `/`, sorted. */
export function sourceFiles(folder: string, accept: (path: string) => boolean = () => true): readonly string[] {
  const found: string[] = [];
  const visit = (absolute: string): void => {
    for (const entry of readdirSync(absolute, { withFileTypes: true })) {
      const path = join(absolute, entry.name);
      if (entry.isDirectory()) {
        if (!generatedFolders.has(entry.name)) visit(path);
      } else if (entry.isFile()) {
        const relativePath = relative(root, path).split(sep).join("/");
        if (accept(relativePath)) found.push(relativePath);
      }
    }
  };
  if (existsSync(join(root, folder))) visit(join(root, folder));
  return found.toSorted();
}

/** The text of a file given relative to the repository. */
export function readSource(path: string): string {
  return readFileSync(join(root, path), "utf8");
}
