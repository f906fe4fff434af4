import { autopilotNumbers, autopilotSwitches, prescribedStrategies } from "@revoada/fabric";
import { topologyNames } from "@revoada/topology";
import { settings, type SettingName } from "./settings.ts";

type Schema = Readonly<Record<string, unknown>>;

const integer = (minimum: number, description: string): Schema => ({ type: "integer", minimum, description });

function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: "object", additionalProperties: false, properties, required };
}

function tagged(tag: string, value: string, rest: Readonly<Record<string, Schema>> = {}): Schema {
  return object({ [tag]: { const: value }, ...rest });
}

const timing = {
  electionTimeoutMs: integer(1, "base of the election timeout, milliseconds; a node draws from one to two of it"),
  snapshotIntervalEntries: integer(1, "committed entries between two compactions of the log"),
};

/** Every field may be left out. */
const autopilotSchema: Schema = {
  type: "object",
  additionalProperties: false,
  properties: {
    ...Object.fromEntries(
      Object.entries(autopilotNumbers).map(([name, minimum]) => [name, { type: "integer", minimum }]),
    ),
    ...Object.fromEntries(autopilotSwitches.map((name) => [name, { type: "boolean" }])),
  },
};

/** Whether the numbers make sense together is for the node: a schema cannot say it. */
const strategySchema: Schema = object(
  {
    name: { type: "string", minLength: 1, maxLength: 64 },
    consensus: {
      oneOf: [
        tagged("protocol", "raft", { quorumSize: integer(1, "how many vote; odd"), ...timing }),
        tagged("protocol", "standalone", timing),
      ],
    },
    membership: object({
      phiThreshold: {
        type: "number",
        exclusiveMinimum: 0,
        description: "suspicion from which a silent node is a suspect",
      },
      gossipCadenceMs: integer(1, "between two rounds of gossip, milliseconds"),
      failureDetectorTimeoutMs: integer(1, "the earliest silence that may be suspicious, milliseconds"),
      suspicionMs: integer(1, "how long a silent suspect lives, milliseconds"),
    }),
    content: object({ syncCadenceMs: integer(1, "milliseconds"), gcRetentionMs: integer(1, "milliseconds") }),
    attestation: object(
      {
        sealIntervalMs: integer(1, "between two seals of the chain, milliseconds"),
        requireOperatorSignature: {
          type: "boolean",
          description: "what no failure forces needs an operator's signature; see --operator-key",
        },
      },
      ["requireOperatorSignature"],
    ),
    placement: {
      oneOf: [
        tagged("policy", "zone-aware", { minZones: integer(1, "zones to spread masters over") }),
        tagged("policy", "rack-aware", { minRacks: integer(1, "racks to spread masters over") }),
        tagged("policy", "latency-aware", { maxP99Ms: integer(1, "milliseconds") }),
        tagged("policy", "spread"),
        tagged("policy", "none"),
      ],
    },
    reconciliationCadenceMs: integer(
      1,
      "how often the leader compares the formation with what it should be, milliseconds",
    ),
    autopilot: autopilotSchema,
  },
  ["autopilot"],
);

const address: Schema = { type: "string", pattern: String.raw`^(\[[0-9a-fA-F:.]+(%[\w.-]+)?\]|[\w.-]+):\d{1,5}$` };
const path: Schema = { type: "string", minLength: 1, maxLength: 4096 };

/** A list, or its texts in one with commas between them. */
function texts(description: string): Schema {
  const text: Schema = { type: "string", minLength: 1, maxLength: 400 };
  return { description, oneOf: [text, { type: "array", maxItems: 64, items: text }] };
}

/** What each setting may be in a file. */
const shapes: Readonly<Record<SettingName, Schema>> = {
  dataDir: path,
  bootstrap: { type: "boolean" },
  join: { type: "string", minLength: 1, maxLength: 16_384 },
  bootstrapExpect: { type: "integer", minimum: 1, maximum: 64 },
  seeds: texts("host:port, or a node id, @ and host:port"),
  discover: texts("mdns, dns:name:port or dns:_service._tcp.name"),
  libp2pListen: address,
  libp2pPeers: texts("host:port or a multiaddr"),
  expectPeers: path,
  expectSecret: path,
  operatorKeys: texts("files with operators' public keys"),
  topology: { type: "string", minLength: 1, maxLength: 214, examples: topologyNames },
  topologyPackages: texts("names of packages"),
  minNodes: { type: "integer", minimum: 1, maximum: 1024 },
  strategy: {
    anyOf: [
      { type: "string", minLength: 1, maxLength: 214, examples: Object.keys(prescribedStrategies) },
      strategySchema,
    ],
  },
  autopilot: { oneOf: [{ type: "string", minLength: 1, maxLength: 512 }, autopilotSchema] },
  listen: address,
  advertise: address,
  faceListen: address,
  adminListen: address,
  zone: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" },
  upgradeVersion: { type: "string", minLength: 1, maxLength: 64, examples: ["1.10.2"] },
  historyRevisions: { type: "integer", minimum: 1, maximum: 1_000_000_000 },
  historySeconds: { type: "integer", minimum: 1, maximum: 31_536_000 },
  chainArchiveDir: path,
  chainKeepBlocks: { type: "integer", minimum: 16, maximum: 1_000_000_000 },
  logLevel: { enum: settings.logLevel.flag.choices },
};

/** The JSON Schema (2020-12) of `revoada.yaml`, for editors. */
export function configSchema(): Schema {
  const properties = Object.fromEntries(
    (Object.keys(settings) as SettingName[]).map((name) => [
      name,
      { description: settings[name].flag.summary, ...shapes[name] },
    ]),
  );
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Revoada node",
    description: "Settings of a node. Flags and REVOADA_ variables go over them.",
    type: "object",
    additionalProperties: false,
    properties,
    not: { required: ["bootstrap", "join"], properties: { bootstrap: { const: true } } },
  };
}
