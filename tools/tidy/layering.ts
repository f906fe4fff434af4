/**
 * Who may import whom: the table of docs/architecture.md, as data.
 */
import type { WorkspacePackage } from "../workspace.ts";
import type { ParsedSource } from "./source.ts";

type Tag = "spec" | "pure" | "layer" | "face" | "composer" | "private" | "app";

const scope = "@revoada/";

/** The tag of each folder; a package that is not here has no place yet. */
const tagOf: Readonly<Record<string, Tag>> = {
  "packages/fabric": "spec",
  "packages/topology": "pure",
  "packages/format": "pure",
  "packages/attest-blake3": "layer",
  "packages/transport-tls": "layer",
  "packages/membership-gossip": "layer",
  "packages/discovery": "layer",
  "packages/discovery-libp2p": "layer",
  "packages/consensus-raft": "layer",
  "packages/catalog": "layer",
  "packages/content-p2p": "layer",
  "packages/cluster": "composer",
  "packages/federation": "composer",
  "packages/simulation": "private",
  "apps/bench": "private",
  "apps/node": "app",
};

/** What a tag may import, of ours; undefined is anything. */
const allowed: Readonly<Record<Tag, readonly string[] | undefined>> = {
  spec: [],
  pure: ["fabric"],
  layer: ["fabric"],
  face: ["fabric", "format"],
  composer: ["fabric", "topology"],
  private: undefined,
  app: undefined,
};

/** Examples show what one package can do alone: what they say that they need is all they may use. */
const narrowed: Readonly<Record<string, readonly string[]>> = {
  "examples/raft-alone": ["fabric", "consensus-raft"],
  "examples/topology-three-regions": ["fabric", "topology"],
};

/** The tag that the table gives a folder. */
function expectedTag(folder: string): Tag | undefined {
  if (folder.startsWith("packages/face-")) return "face";
  if (folder.startsWith("examples/")) return "app";
  return tagOf[folder];
}

function ownPackage(specifier: string): string | undefined {
  return specifier.startsWith(scope) ? specifier.slice(scope.length).split("/")[0] : undefined;
}

/** What a package imports or depends on against the table; its tests count as it does. */
export function layeringViolations(candidate: WorkspacePackage, sources: readonly ParsedSource[]): readonly string[] {
  const { folder, manifest } = candidate;
  const tag = expectedTag(folder);
  if (tag === undefined) return [`${folder}: the layering table has no place for it`];
  const violations: string[] = [];
  if (candidate.tags.length !== 1 || candidate.tags[0] !== tag) {
    violations.push(`${folder}/turbo.json: expected the tag "${tag}", got ${JSON.stringify(candidate.tags)}`);
  }
  const mayImport = narrowed[folder] ?? allowed[tag];
  const itself = manifest.name.slice(scope.length);
  const judge = (specifier: string, place: string): void => {
    const name = ownPackage(specifier);
    if (name === undefined || name === itself || mayImport === undefined || mayImport.includes(name)) return;
    violations.push(`${place}: a ${tag} may not use ${specifier}`);
  };
  for (const source of sources) {
    for (const specifier of source.specifiers) judge(specifier, source.path);
  }
  for (const group of ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"] as const) {
    for (const name of Object.keys(manifest[group] ?? {})) judge(name, `${folder}/package.json`);
  }
  return violations;
}
