import { defaultHistoryLimits, defaultKeepBlocks } from "@revoada/cluster";
import { parseDnsQuestion, parseSeed } from "@revoada/discovery";
import {
  autopilotNumbers,
  autopilotSwitches,
  describeValue,
  isFabricError,
  parseAutopilot,
  prescribedStrategies,
  type AutopilotStrategy,
} from "@revoada/fabric";
import type { FlagSpec } from "../cli/command.ts";
import { hint } from "../cli/suggest.ts";

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

/** Without brackets nobody can tell where the host ends in `::1:7400`. */
function address(value: unknown): string {
  if (typeof value === "string" && isAddress(value)) return value;
  const isBare = typeof value === "string" && !value.includes("[") && value.split(":").length > 2;
  throw new UnfitSetting(isBare ? "[host]:port for an IPv6 address" : "host:port", value);
}

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

function parseRevisions(value: unknown): number {
  const number = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 1e9) return number;
  throw new UnfitSetting("a whole number from 1 to 1000000000", value);
}

function parseHistorySeconds(value: unknown): number {
  const number = typeof value === "string" && /^\d{1,8}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 1 && number <= 31_536_000) return number;
  throw new UnfitSetting("a whole number from 1 to 31536000", value);
}

function parseKeptBlocks(value: unknown): number {
  const number = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 16 && number <= 1e9) return number;
  throw new UnfitSetting("a whole number from 16 to 1000000000", value);
}

function parseLogLevel(value: unknown): LogLevel {
  const level = logLevels.find((known) => known === value);
  if (level === undefined) throw new UnfitSetting(`one of ${logLevels.join(", ")}`, value);
  return level;
}

/** A strategy is a name, unless it can be told for a path. */
export function looksLikeFile(strategy: string): boolean {
  return /[/\\]|\.(ya?ml|json)$/i.test(strategy);
}

/** A name or a path, or, in files, the strategy itself. */
function parseStrategySetting(value: unknown): string | Readonly<Record<string, unknown>> {
  if (typeof value === "string") {
    const known = Object.keys(prescribedStrategies);
    if (known.includes(value) || looksLikeFile(name(value))) return value;
    throw new UnfitSetting(`one of ${known.join(", ")}, or a file${hint(value, known)}`, value);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>;
  throw new UnfitSetting("a name, a path or a strategy", value);
}

const autopilotNames = [...Object.keys(autopilotNumbers), ...autopilotSwitches];

/** The autopilot itself in files; in flags and variables a text such as `minQuorum=3,upgradeMigration=false`. */
function parseAutopilotSetting(value: unknown): AutopilotStrategy {
  const fields = typeof value === "string" ? fieldsOf(value) : value;
  try {
    return parseAutopilot(fields, "autopilot");
  } catch (error) {
    if (!isFabricError(error, "FABRIC_INVALID_VALUE")) throw error;
    throw new UnfitSetting(`numbers and switches of ${autopilotNames.join(", ")}`, value);
  }
}

function fieldsOf(fields: string): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    fields.split(",").map((part) => {
      const [field = "", given = ""] = part.split("=", 2).map((each) => each.trim());
      if (given === "true" || given === "false") return [field, given === "true"];
      return [field, /^\d{1,10}$/.test(given) ? Number(given) : given];
    }),
  );
}

/** What one node is told of others at most. */
const maxListed = 64;

/** A list in a file, several flags, or one text with commas in it. */
function list(expected: string, check: (value: string) => void): (value: unknown) => readonly string[] {
  return (value) => {
    const given: readonly unknown[] = Array.isArray(value) ? value : [value];
    const texts = given.flatMap((each) => (typeof each === "string" ? each.split(",") : [undefined]));
    const trimmed = texts.map((each) => each?.trim());
    if (trimmed.length > maxListed) throw new UnfitSetting(`at most ${maxListed} of ${expected}`, value);
    for (const each of trimmed) {
      if (each === undefined) throw new UnfitSetting(expected, value);
      try {
        check(each);
      } catch (error) {
        if (isFabricError(error)) throw new UnfitSetting(expected, each);
        throw error;
      }
    }
    return trimmed as readonly string[];
  };
}

const multiaddr =
  /^\/(?:ip4\/(?:\d{1,3}\.){3}\d{1,3}|ip6\/[0-9a-fA-F:.]+|dns[46]?\/[\w.-]+)\/tcp\/(\d{1,5})(?:\/p2p\/[1-9A-HJ-NP-Za-km-z]{32,128})?$/;

function requirePeer(value: string): void {
  const port = multiaddr.exec(value)?.[1];
  const fits = port === undefined ? isAddress(value) : Number(port) <= 65_535 && value.length <= 400;
  if (!fits) throw new UnfitSetting("host:port or a multiaddr such as /ip4/10.0.0.1/tcp/7401", value);
}

/** `mdns`, or `dns:` and what is asked. */
function requireSource(value: string): void {
  if (value === "mdns") return;
  if (!value.startsWith("dns:")) throw new UnfitSetting("mdns, dns:name:port or dns:_service._tcp.name", value);
  parseDnsQuestion(value.slice("dns:".length), defaultPort);
}

/** Where nodes listen unless told. */
export const defaultPort = 7400;

export const defaultListen: string = `127.0.0.1:${defaultPort}`;
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
  readonly seeds: Setting<readonly string[]>;
  readonly discover: Setting<readonly string[]>;
  readonly libp2pListen: Setting<string>;
  readonly libp2pPeers: Setting<readonly string[]>;
  readonly expectPeers: Setting<string>;
  readonly expectSecret: Setting<string>;
  readonly operatorKeys: Setting<readonly string[]>;
  readonly topology: Setting<string>;
  readonly topologyPackages: Setting<readonly string[]>;
  readonly minNodes: Setting<number>;
  readonly strategy: Setting<string | Readonly<Record<string, unknown>>>;
  readonly autopilot: Setting<AutopilotStrategy>;
  readonly listen: Setting<string>;
  readonly advertise: Setting<string>;
  readonly faceListen: Setting<string>;
  readonly adminListen: Setting<string>;
  readonly zone: Setting<string>;
  readonly upgradeVersion: Setting<string>;
  readonly historyRevisions: Setting<number>;
  readonly historySeconds: Setting<number>;
  readonly chainArchiveDir: Setting<string>;
  readonly chainKeepBlocks: Setting<number>;
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
  seeds: {
    flag: {
      name: "seed",
      value: "[ID@]HOST:PORT",
      summary: "another node to begin with; may be given several times",
      repeatable: true,
    },
    parse: list("host:port, or a node id, @ and host:port", (value) => void parseSeed(value)),
  },
  discover: {
    flag: {
      name: "discover",
      value: "SOURCE",
      summary: "look for other nodes: mdns, dns:NAME:PORT or dns:_SERVICE._tcp.NAME; may be given several times",
      repeatable: true,
    },
    parse: list("mdns, dns:name:port or dns:_service._tcp.name", requireSource),
  },
  libp2pListen: {
    flag: {
      name: "libp2p-listen",
      value: "ADDRESS",
      summary: "look for other nodes in a DHT, whose libp2p listens here",
    },
    parse: address,
  },
  libp2pPeers: {
    flag: {
      name: "libp2p-peer",
      value: "MULTIADDR",
      summary: "another node's libp2p, to enter the DHT by; may be given several times",
      repeatable: true,
    },
    parse: list("host:port or a multiaddr such as /ip4/10.0.0.1/tcp/7401", requirePeer),
  },
  expectPeers: {
    flag: {
      name: "expect-peers",
      value: "FILE",
      summary: "with --bootstrap-expect: the N nodes, a line each: node id and, unless they find each other, host:port",
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
  operatorKeys: {
    flag: {
      name: "operator-key",
      value: "FILE",
      summary:
        "to found a cluster whose strategy requires operator signatures: an operator's public key; may be given several times",
      repeatable: true,
      completes: "file",
    },
    parse: list("a path", (value) => void somePath(value)),
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
  topologyPackages: {
    flag: {
      name: "topology-package",
      value: "PACKAGE",
      summary:
        "a package whose topologies this node may load where its cluster is switched to one; may be given several times",
      repeatable: true,
    },
    parse: list("the name of a package", (value) => void name(value)),
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
  autopilot: {
    flag: {
      name: "autopilot",
      value: "NAME=VALUE,…",
      summary: "how seats are dealt with, over what the strategy says: minQuorum=3,upgradeMigration=false",
    },
    parse: parseAutopilotSetting,
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
  upgradeVersion: {
    flag: {
      name: "upgrade-version",
      value: "VERSION",
      summary: "what this node is taken for in an upgrade (default: the version of revoada)",
    },
    parse: text(
      "a version such as 1.10.2, at most 64 characters",
      (value) => /^v?\d{1,9}(?:\.\d{1,9}){0,3}(?:[-+][\w.+-]*)?$/.test(value) && value.length <= 64,
    ),
  },
  historyRevisions: {
    flag: {
      name: "history-revisions",
      value: "N",
      summary: `how many revisions of the catalog's history are kept at least (default: ${defaultHistoryLimits.keepRevisions})`,
    },
    parse: parseRevisions,
  },
  historySeconds: {
    flag: {
      name: "history-seconds",
      value: "N",
      summary: `how long the catalog's history is kept at least (default: ${defaultHistoryLimits.keepMs / 1000})`,
    },
    parse: parseHistorySeconds,
  },
  chainArchiveDir: {
    flag: {
      name: "chain-archive-dir",
      value: "DIR",
      summary: "where old blocks of the chain are archived, which are dropped then (default: none ever is by itself)",
      completes: "directory",
    },
    parse: somePath,
    isPath: true,
  },
  chainKeepBlocks: {
    flag: {
      name: "chain-keep-blocks",
      value: "N",
      summary: `how many sealed blocks are kept where old ones are archived (default: ${defaultKeepBlocks})`,
    },
    parse: parseKeptBlocks,
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
