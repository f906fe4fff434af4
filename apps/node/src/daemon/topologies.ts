import { createRequire, isBuiltin } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import {
  FabricError,
  isFabricError,
  type TopologyPackage,
  type TopologyPackageOptions,
  type TopologyStrategy,
} from "@revoada/fabric";
import { shapedTopology, topologyByName } from "@revoada/topology";

/** A package that is named as a topology cannot be used as one. */
class TopologyPackageError extends FabricError {
  constructor(name: string, why: string, cause?: unknown) {
    super("TOPOLOGY_PACKAGE_INVALID", `package ${name} cannot be used as a topology: ${why}`, { cause });
  }
}

/** Finds a topology by its name; throws `TOPOLOGY_UNKNOWN` for a name that it does not know. */
export type FindTopology = (name: string, options?: { readonly minNodes?: number }) => TopologyStrategy;

const packageName = /^(?:@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/;

interface NamedPackage {
  readonly package: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** `@scope/name?key=value&key=value`; undefined for what is no package name. */
function parseName(name: string): NamedPackage | undefined {
  const question = name.indexOf("?");
  const bare = question < 0 ? name : name.slice(0, question);
  if (!packageName.test(bare) || isBuiltin(bare)) return undefined;
  return { package: bare, parameters: new Map(question < 0 ? [] : new URLSearchParams(name.slice(question + 1))) };
}

/** Where a package is installed: beside the project that the node is run from, or beside the node. */
function locate(name: string): string | undefined {
  for (const base of [join(process.cwd(), "noop.js"), import.meta.filename]) {
    try {
      return createRequire(base).resolve(name);
    } catch {
      // The next place.
    }
  }
  return undefined;
}

async function load(named: NamedPackage, path: string): Promise<TopologyPackage> {
  let loaded: Partial<TopologyPackage>;
  try {
    loaded = (await import(pathToFileURL(path).href)) as Partial<TopologyPackage>;
  } catch (error) {
    throw new TopologyPackageError(named.package, error instanceof Error ? error.message : String(error), error);
  }
  if (typeof loaded.topology !== "function")
    throw new TopologyPackageError(named.package, "it exports no function `topology`");
  return loaded as TopologyPackage;
}

const methods = ["targetMasters", "assign", "reactToLoss", "validate"] as const;

function make(named: NamedPackage, loaded: TopologyPackage, options: TopologyPackageOptions): TopologyStrategy {
  let made: TopologyStrategy;
  try {
    made = loaded.topology(options);
  } catch (error) {
    if (isFabricError(error)) throw error;
    throw new TopologyPackageError(named.package, error instanceof Error ? error.message : String(error), error);
  }
  const missing = methods.find(
    (method) => typeof (made as Partial<TopologyStrategy> | undefined)?.[method] !== "function",
  );
  if (missing !== undefined) throw new TopologyPackageError(named.package, `its topology has no \`${missing}\``);
  if (made.name !== options.name)
    throw new TopologyPackageError(
      named.package,
      `its topology calls itself ${JSON.stringify(made.name)}, not ${options.name}`,
    );
  if (!Number.isSafeInteger(made.minNodes) || made.minNodes < 1)
    throw new TopologyPackageError(named.package, `its topology wants ${String(made.minNodes)} nodes`);
  return made;
}

/**
 * The topologies that a node knows: the built-in ones and the packages that its own settings name, `asked` with the very parameters that
 * were asked for, `allowed` with any. What a cluster's declaration names is never loaded only because it says so. Rejects with
 * `TOPOLOGY_PACKAGE_INVALID`; a package that is not installed is `TOPOLOGY_UNKNOWN` once it is asked for.
 */
export async function knownTopologies(
  asked: string | undefined,
  allowed: readonly string[] = [],
): Promise<FindTopology> {
  const loaded = new Map<string, TopologyPackage>();
  for (const name of [...(asked === undefined ? [] : [asked]), ...allowed]) {
    const named = isBuiltIn(name) ? undefined : parseName(name);
    const path = named === undefined ? undefined : locate(named.package);
    if (named !== undefined && path !== undefined && !loaded.has(named.package))
      loaded.set(named.package, await load(named, path));
  }
  return (name, options = {}) => {
    if (isBuiltIn(name)) return topologyByName(name, options);
    const named = parseName(name);
    const found = named === undefined ? undefined : loaded.get(named.package);
    const isNamed = name === asked || (named !== undefined && allowed.includes(named.package));
    if (named !== undefined && found !== undefined && isNamed)
      return make(named, found, { name, parameters: named.parameters, ...options });
    return unknown(name, isNamed);
  };
}

function isBuiltIn(name: string): boolean {
  try {
    return topologyByName(name).name === name;
  } catch {
    return false;
  }
}

/** Throws `TOPOLOGY_UNKNOWN`, with what there is to do. */
function unknown(name: string, isNamed: boolean): never {
  try {
    topologyByName(name);
  } catch (error) {
    const named = parseName(name);
    if (named === undefined || !isFabricError(error)) throw error;
    const advice = isNamed
      ? `and no package ${named.package} is installed here`
      : `if it is a package, install ${named.package} and say --topology ${JSON.stringify(name)}, or --topology-package ${named.package}`;
    throw new FabricError(error.code, `${error.message}; ${advice}`);
  }
  throw new Error(`${name} is known`);
}

/** Stands for any topology where only its name is of interest. */
export const namedOnly: FindTopology = (name, { minNodes = 1 } = {}) =>
  shapedTopology({ name, minNodes, targetMasters: (eligible) => eligible });
