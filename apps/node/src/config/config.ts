import { dirname, resolve } from "node:path";
import type { AutopilotStrategy } from "@revoada/fabric";
import { ConfigInvalidError } from "../errors.ts";
import { readConfigFile, type FileValue } from "./config-file.ts";
import {
  dataDirectoryVariable,
  defaultAdminListen,
  defaultDataDirectory,
  looksLikeFile,
  settings,
  UnfitSetting,
  variableOf,
  type LogLevel,
  type Setting,
  type SettingName,
  type SettingValue,
} from "./settings.ts";

/** What a daemon is told. What is undefined was not said by anybody and depends on the data directory. */
export interface NodeConfig {
  readonly dataDir: string;
  readonly bootstrap: boolean;
  readonly join?: string;
  readonly bootstrapExpect?: number;
  readonly seeds?: readonly string[];
  readonly discover?: readonly string[];
  readonly libp2pListen?: string;
  readonly libp2pPeers?: readonly string[];
  readonly expectPeers?: string;
  readonly expectSecret?: string;
  readonly operatorKeys?: readonly string[];
  readonly topology?: string;
  readonly topologyPackages?: readonly string[];
  readonly minNodes?: number;
  /** A name, a path, or a value out of a file with the place that it stands at. */
  readonly strategy?: string | FileValue;
  /** What is to go over the strategy's own autopilot. */
  readonly autopilot?: AutopilotStrategy;
  readonly listen?: string;
  readonly advertise?: string;
  readonly faceListen?: string;
  readonly adminListen: string;
  readonly zone?: string;
  readonly upgradeVersion?: string;
  readonly historyRevisions?: number;
  readonly historySeconds?: number;
  readonly chainArchiveDir?: string;
  readonly chainKeepBlocks?: number;
  readonly logLevel: LogLevel;
}

export interface ConfigSources {
  /** Text of a flag by its long name. */
  readonly flag: (name: string) => string | undefined;
  /** Every text of a flag that may be given several times; only what `flag` gives, unless there is this. */
  readonly flags?: (name: string) => readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
}

/** A value that was found, and where. */
interface Found {
  readonly value: unknown;
  readonly layer: "file" | "environment" | "flag";
  readonly source: string;
  /** What a path in it is relative to. */
  readonly folder: string;
  /** Where it stands in a file, for values that hold others. */
  readonly placeOf?: FileValue["placeOf"];
}

/** One setting, what it is, and who said so. */
export interface ExplainedSetting {
  readonly name: SettingName;
  /** Absent where nobody said anything and no default stands in: the data directory, or the cluster, decides then. */
  readonly value?: unknown;
  readonly layer: "default" | Found["layer"];
  /** `--zone`, `REVOADA_ZONE`, or file, line and column; absent for defaults. */
  readonly source?: string;
}

/**
 * Layers defaults, the file of `--config` or `$REVOADA_CONFIG`, the environment (`REVOADA_…`) and flags, the later over the earlier.
 *
 * Rejects with `CONFIG_INVALID`, saying which flag, variable, or file, line and column is wrong, or `CLI_FILE_UNAVAILABLE`.
 */
export async function loadConfig(sources: ConfigSources): Promise<NodeConfig> {
  return assemble(await finderOf(sources), sources.workingDirectory);
}

/** Every setting with its value and the layer that it comes from. Rejects as {@link loadConfig} does. */
export async function explainConfig(sources: ConfigSources): Promise<readonly ExplainedSetting[]> {
  const find = await finderOf(sources);
  const config: Readonly<Record<string, unknown>> = { ...assemble(find, sources.workingDirectory) };
  return (Object.keys(settings) as SettingName[]).map((name) => {
    const found = find(name);
    const value = name === "strategy" && typeof config[name] === "object" ? found?.value : config[name];
    const known = value === undefined ? {} : { value };
    return found === undefined
      ? { name, ...known, layer: "default" }
      : { name, ...known, layer: found.layer, source: found.source };
  });
}

async function finderOf(sources: ConfigSources): Promise<(name: SettingName) => Found | undefined> {
  const { environment, workingDirectory } = sources;
  const path = sources.flag("config") ?? nonEmpty(environment["REVOADA_CONFIG"]);
  const file =
    path === undefined
      ? new Map<SettingName, FileValue>()
      : await readConfigFile(path, resolve(workingDirectory, path));
  const folder = path === undefined ? workingDirectory : dirname(resolve(workingDirectory, path));
  return (name: SettingName): Found | undefined => {
    const flag = settings[name].flag.name;
    const given = sources.flag(flag);
    const all = settings[name].flag.repeatable === true ? sources.flags?.(flag) : undefined;
    if (given !== undefined)
      return { value: all ?? given, layer: "flag", source: `--${flag}`, folder: workingDirectory };
    const variable = nonEmpty(environment[variableOf(name)]);
    if (variable !== undefined)
      return { value: variable, layer: "environment", source: variableOf(name), folder: workingDirectory };
    const said = file.get(name);
    return said === undefined ? undefined : { ...said, layer: "file", folder };
  };
}

function assemble(find: (name: SettingName) => Found | undefined, workingDirectory: string): NodeConfig {
  const read = <Name extends SettingName>(name: Name): SettingValue<Name> | undefined => {
    const found = find(name);
    return found === undefined ? undefined : (parsed<unknown>(settings[name], found) as SettingValue<Name>);
  };
  const strategy = read("strategy");
  const strategyPlace = find("strategy");
  const [join, joinFolder] = [read("join"), find("join")?.folder];
  const config = {
    dataDir: read("dataDir") ?? resolve(workingDirectory, defaultDataDirectory),
    bootstrap: read("bootstrap") ?? false,
    join: join !== undefined && looksLikePath(join) && joinFolder !== undefined ? resolve(joinFolder, join) : join,
    bootstrapExpect: read("bootstrapExpect"),
    seeds: read("seeds"),
    discover: read("discover"),
    libp2pListen: read("libp2pListen"),
    libp2pPeers: read("libp2pPeers"),
    expectPeers: read("expectPeers"),
    expectSecret: read("expectSecret"),
    operatorKeys: read("operatorKeys"),
    topology: read("topology"),
    topologyPackages: read("topologyPackages"),
    minNodes: read("minNodes"),
    strategy:
      strategy === undefined || strategyPlace === undefined
        ? undefined
        : typeof strategy === "string"
          ? located(strategy, strategyPlace.folder)
          : {
              value: strategy,
              source: strategyPlace.source,
              placeOf: strategyPlace.placeOf ?? (() => strategyPlace.source),
            },
    autopilot: read("autopilot"),
    listen: read("listen"),
    advertise: read("advertise"),
    faceListen: read("faceListen"),
    adminListen: read("adminListen") ?? defaultAdminListen,
    zone: read("zone"),
    upgradeVersion: read("upgradeVersion"),
    historyRevisions: read("historyRevisions"),
    historySeconds: read("historySeconds"),
    chainArchiveDir: read("chainArchiveDir"),
    chainKeepBlocks: read("chainKeepBlocks"),
    logLevel: read("logLevel") ?? "info",
  };
  checkEntrances(config, find);
  // With exact optional properties, what nobody said is absent rather than undefined.
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined)) as unknown as NodeConfig;
}

/** A node comes to its cluster in one way. */
function checkEntrances(
  config: Pick<
    { readonly [Name in SettingName]?: unknown },
    "bootstrap" | "join" | "bootstrapExpect" | "expectPeers" | "expectSecret"
  >,
  find: (name: SettingName) => Found | undefined,
): void {
  const sourceOf = (name: SettingName): string => find(name)?.source ?? `--${settings[name].flag.name}`;
  const [one, other] = (["bootstrap", "bootstrapExpect", "join"] as const).filter(
    (name) => config[name] !== undefined && config[name] !== false,
  );
  if (one !== undefined && other !== undefined)
    throw new ConfigInvalidError(
      sourceOf(other),
      `a node founds a cluster or joins one: ${sourceOf(one)} is given too`,
    );
  for (const name of ["expectPeers", "expectSecret"] as const) {
    if ((config[name] === undefined) === (config.bootstrapExpect === undefined)) continue;
    const missing = config[name] === undefined ? name : "bootstrapExpect";
    const given = config[name] === undefined ? "bootstrapExpect" : name;
    throw new ConfigInvalidError(sourceOf(given), `--${settings[missing].flag.name} is needed with it`);
  }
}

function parsed<T>(setting: Setting<T>, found: Found): T {
  try {
    const value = setting.parse(found.value);
    if (setting.isPath !== true) return value;
    const absolute = (path: unknown): unknown => (typeof path === "string" ? resolve(found.folder, path) : path);
    return (Array.isArray(value) ? value.map(absolute) : absolute(value)) as T;
  } catch (error) {
    if (error instanceof UnfitSetting) throw new ConfigInvalidError(found.source, error.message);
    throw error;
  }
}

/** A token is told from a path by its first letters; every token begins so. */
function looksLikePath(join: string): boolean {
  return !/^\s*rvd\d{1,4}[A-Za-z0-9_-]/.test(join);
}

/** Names stay names; what looks like a file is found from where it was said. */
function located(strategy: string, folder: string): string {
  return looksLikeFile(strategy) ? resolve(folder, strategy) : strategy;
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === undefined || value === "" ? undefined : value;
}

/** The data directory that a client command means. */
export function dataDirectoryOf(sources: ConfigSources): string {
  const { environment, workingDirectory } = sources;
  const said = sources.flag("data-dir") ?? nonEmpty(environment[dataDirectoryVariable]) ?? defaultDataDirectory;
  return resolve(workingDirectory, said);
}
