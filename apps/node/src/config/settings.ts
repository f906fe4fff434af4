import { describeValue } from "@revoada/fabric";
import type { FlagSpec } from "../cli/command.ts";

/** What a log line must at least be worth to be written. */
export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;

export type LogLevel = (typeof logLevels)[number];

/** A value that is not what a setting takes. The message says what is expected; where it stands is added by who asked. */
export class UnfitSetting extends Error {
  constructor(expected: string, value: unknown) {
    super(`expected ${expected}, got ${describeValue(value)}`);
  }
}

/** One setting: its name in files, its flag, its variable, and how an untrusted value becomes one that is right. */
export interface Setting<T> {
  readonly flag: FlagSpec;
  /** Throws {@link UnfitSetting}. Texts come from flags and variables, anything from files. */
  readonly parse: (value: unknown) => T;
  /** True for paths that a file means relative to itself. */
  readonly isPath?: boolean;
}

function text(expected: string, fits: (value: string) => boolean): (value: unknown) => string {
  return (value) => {
    if (typeof value === "string" && fits(value)) return value;
    throw new UnfitSetting(expected, value);
  };
}

const hostAndPort = /^(?:\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]|[\w.-]+):(\d{1,5})$/;

function isAddress(value: string): boolean {
  const port = hostAndPort.exec(value)?.[1];
  return port !== undefined && value.length <= 255 && Number(port) <= 65_535;
}

const address = text("host:port", isAddress);
const somePath = text("a path", (value) => value.length > 0 && value.length <= 4096 && !value.includes("\0"));
const name = text("a name", (value) => value.length > 0 && value.length <= 214);

function parseSwitch(value: unknown): boolean {
  if (value === true || value === "true" || value === "1") return true;
  if (value === false || value === "false" || value === "0") return false;
  throw new UnfitSetting("true or false", value);
}

function parseMinNodes(value: unknown): number {
  const number = typeof value === "string" && /^\d{1,4}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 1024) return number;
  throw new UnfitSetting("a whole number from 1 to 1024", value);
}

function parseExpectedCount(value: unknown): number {
  const number = typeof value === "string" && /^\d{1,2}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 64) return number;
  throw new UnfitSetting("a whole number from 1 to 64", value);
}

function parseLogLevel(value: unknown): LogLevel {
  const level = logLevels.find((known) => known === value);
  if (level === undefined) throw new UnfitSetting(`one of ${logLevels.join(", ")}`, value);
  return level;
}

/** A name or a path, or, in files, the strategy itself. */
function parseStrategySetting(value: unknown): string | Readonly<Record<string, unknown>> {
  if (typeof value === "string") return name(value);
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>;
  throw new UnfitSetting("a name, a path or a strategy", value);
}

/** Where nodes listen unless told. */
export const defaultListen = "127.0.0.1:7400";
export const defaultAdminListen = "127.0.0.1:0";
export const defaultDataDirectory = "./revoada-data";
export const dataDirectoryVariable = "REVOADA_DATA_DIR";

export const dataDirectoryFlag: FlagSpec = {
  name: "data-dir",
  value: "DIR",
  summary: `the node's directory (default: $${dataDirectoryVariable}, else ${defaultDataDirectory})`,
  completes: "directory",
};

/** Every setting of a daemon, by the name that it has in files. */
export interface Settings {
  readonly dataDir: Setting<string>;
  readonly bootstrap: Setting<boolean>;
  readonly join: Setting<string>;
  readonly bootstrapExpect: Setting<number>;
  readonly expectPeers: Setting<string>;
  readonly expectSecret: Setting<string>;
  readonly topology: Setting<string>;
  readonly minNodes: Setting<number>;
  readonly strategy: Setting<string | Readonly<Record<string, unknown>>>;
  readonly listen: Setting<string>;
  readonly advertise: Setting<string>;
  readonly faceListen: Setting<string>;
  readonly adminListen: Setting<string>;
  readonly zone: Setting<string>;
  readonly logLevel: Setting<LogLevel>;
}

export const settings: Settings = {
  dataDir: { flag: dataDirectoryFlag, parse: somePath, isPath: true },
  bootstrap: { flag: { name: "bootstrap", summary: "found a cluster whose first node this is" }, parse: parseSwitch },
  join: {
    flag: {
      name: "join",
      value: "TOKEN|FILE",
      summary: "enter the cluster of a join token, or of a file that holds one",
      completes: "file",
    },
    parse: text(
      "a join token or a path",
      (value) => value.length > 0 && value.length <= 16_384 && !value.includes("\0"),
    ),
  },
  bootstrapExpect: {
    flag: {
      name: "bootstrap-expect",
      value: "N",
      summary: "found a cluster together with N - 1 other nodes, none of which is first",
    },
    parse: parseExpectedCount,
  },
  expectPeers: {
    flag: {
      name: "expect-peers",
      value: "FILE",
      summary: "with --bootstrap-expect: the N nodes, a line each: node id and host:port",
      completes: "file",
    },
    parse: somePath,
    isPath: true,
  },
  expectSecret: {
    flag: {
      name: "expect-secret",
      value: "FILE",
      summary: "with --bootstrap-expect: a file with the same secret on all of them, 16 bytes or more",
      completes: "file",
    },
    parse: somePath,
    isPath: true,
  },
  topology: {
    flag: {
      name: "topology",
      value: "NAME",
      summary: "the shape to found, or the package of one (default: as many masters as the strategy has voters)",
    },
    parse: name,
  },
  minNodes: {
    flag: {
      name: "min-nodes",
      value: "N",
      summary: "how many nodes the first shape needs, where the topology leaves it open",
    },
    parse: parseMinNodes,
  },
  strategy: {
    flag: {
      name: "strategy",
      value: "NAME|FILE",
      summary: "how to converge: homelab, solo, datacenter or a file (default: homelab)",
      completes: "file",
    },
    parse: parseStrategySetting,
  },
  listen: {
    flag: {
      name: "listen",
      value: "ADDRESS",
      summary: `where peers connect (default: ${defaultListen}; port 0 for any)`,
    },
    parse: address,
  },
  advertise: {
    flag: {
      name: "advertise",
      value: "ADDRESS",
      summary: "what peers are told to connect to (default: where it listens)",
    },
    parse: address,
  },
  faceListen: {
    flag: {
      name: "face-listen",
      value: "ADDRESS",
      summary: "where the face's own API listens, for faces that have one",
    },
    parse: address,
  },
  adminListen: {
    flag: {
      name: "admin-listen",
      value: "ADDRESS",
      summary: `where /metrics and /healthz are served (default: ${defaultAdminListen})`,
    },
    parse: address,
  },
  zone: {
    flag: {
      name: "zone",
      value: "NAME",
      summary: "where this node stands, for placement (default: as before, else default)",
    },
    parse: text("1 to 64 of letters, digits, '.', '_' and '-'", (value) =>
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value),
    ),
  },
  logLevel: {
    flag: { name: "log-level", value: "LEVEL", summary: "what is logged", choices: logLevels },
    parse: parseLogLevel,
  },
};

export type SettingName = keyof Settings;

/** What a setting's value is once it is understood. */
export type SettingValue<Name extends SettingName> = ReturnType<Settings[Name]["parse"]>;

/** The variable of a setting: `REVOADA_ADMIN_LISTEN` for `adminListen`. */
export function variableOf(setting: SettingName): string {
  return `REVOADA_${settings[setting].flag.name.replaceAll("-", "_").toUpperCase()}`;
}
