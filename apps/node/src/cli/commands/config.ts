import type { ClusterDeclaration } from "@revoada/cluster";
import { FabricError, isFabricError } from "@revoada/fabric";
import { explainConfig, loadConfig, type ConfigSources, type ExplainedSetting } from "../../config/config.ts";
import { configSchema } from "../../config/schema.ts";
import { settings } from "../../config/settings.ts";
import { declare } from "../../daemon/declare.ts";
import { toPlain } from "../../daemon/status.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag, renderTable, type Cell } from "../output.ts";
import { show } from "./common.ts";

/** The flag that names the file of settings. */
const configFlag: FlagSpec = {
  name: "config",
  value: "FILE",
  summary: "settings as YAML or JSON (default: $REVOADA_CONFIG)",
  completes: "file",
};

/** Every flag by which a daemon is told something. */
export const settingFlags: readonly FlagSpec[] = [
  ...Object.values(settings).map(({ flag }): FlagSpec => flag),
  configFlag,
];

/** Where the settings of this invocation come from. */
export function sourcesOf(invocation: Invocation): ConfigSources {
  const { io } = invocation;
  return {
    flag: (name) => invocation.value(name),
    flags: (name) => invocation.values(name),
    environment: io.environment,
    workingDirectory: io.workingDirectory,
  };
}

function shown(value: unknown): string {
  if (value === undefined) return "-";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function rowOf(setting: ExplainedSetting, withOrigin: boolean): readonly Cell[] {
  const row: readonly Cell[] = [setting.name, shown(setting.value)];
  if (!withOrigin) return row;
  const style = setting.layer === "default" ? ("dim" as const) : ("green" as const);
  return [...row, { text: setting.source ?? setting.layer, style }];
}

/** `revoada config show`. */
export const configShowCommand: CommandSpec = {
  path: ["config", "show"],
  summary: "show what a daemon would be told with these flags, variables and file",
  details: [
    "Flags go over REVOADA_… variables, these over the file, the file over defaults. Join tokens are secrets and are not shown.",
  ],
  arguments: [],
  flags: [{ name: "origin", summary: "show who said it, too" }, ...settingFlags, outputFlag],
  examples: [
    { command: "revoada config show --origin --config revoada.yaml", meaning: "which layer set each value" },
    { command: "revoada config show -o json", meaning: "for programs; always with origins" },
  ],
  run: async (invocation) => {
    const explained = (await explainConfig(sourcesOf(invocation))).map((setting) =>
      setting.name === "join" && setting.value !== undefined
        ? { ...setting, value: hiddenToken(setting.value) }
        : setting,
    );
    const withOrigin = invocation.has("origin");
    show(invocation, { settings: toPlain(explained) }, (paint) =>
      renderTable(
        ["SETTING", "VALUE", ...(withOrigin ? ["ORIGIN"] : [])],
        explained.map((each) => rowOf(each, withOrigin)),
        paint,
      ),
    );
    return exitCodes.ok;
  },
};

/** A path is shown, a token is not. */
function hiddenToken(value: unknown): unknown {
  return typeof value === "string" && value.trimStart().startsWith("rvd") ? "(a token)" : value;
}

/** The declaration that a founder would make. A topology that there is not is told with the place that names it. */
async function declaredBy(sources: ConfigSources): Promise<ClusterDeclaration> {
  const config = await loadConfig(sources);
  try {
    return await declare(config);
  } catch (error) {
    if (!isFabricError(error, "TOPOLOGY_UNKNOWN")) throw error;
    const source = (await explainConfig(sources)).find(({ name }) => name === "topology")?.source;
    throw source === undefined ? error : new FabricError(error.code, `${source}: ${error.message}`, { cause: error });
  }
}

/** `revoada config validate`. */
export const configValidateCommand: CommandSpec = {
  path: ["config", "validate"],
  summary: "check settings without running anything; exit code 2 where one is wrong",
  details: [
    "Where a topology or a strategy is given, they are checked together, as founding would. Mistakes are told by file, line and column.",
  ],
  arguments: [],
  flags: [...settingFlags, outputFlag],
  examples: [{ command: "revoada config validate --config revoada.yaml", meaning: "before it is rolled out" }],
  run: async (invocation) => {
    const sources = sourcesOf(invocation);
    const declaration = (await declaredBy(sources)).id();
    show(invocation, { ok: true, declaration }, () => `valid; a founder would declare ${declaration}\n`);
    return exitCodes.ok;
  },
};

/** `revoada config schema`. */
export const configSchemaCommand: CommandSpec = {
  path: ["config", "schema"],
  summary: "print the JSON Schema of revoada.yaml, for editors",
  arguments: [],
  flags: [],
  examples: [{ command: "revoada config schema", meaning: "the same as the schema file that the package ships" }],
  run: async ({ io }) => {
    io.stdout.write(`${JSON.stringify(configSchema(), undefined, 2)}\n`);
    return exitCodes.ok;
  },
};
