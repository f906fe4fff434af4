import { FieldReader } from "./check.ts";
import type {
  AttestationStrategy,
  AutopilotStrategy,
  ConsensusStrategy,
  ContentStrategy,
  FabricStrategy,
  MembershipStrategy,
  PlacementStrategy,
} from "./strategy.ts";

/**
 * Reads a strategy from an untrusted value: a decoded file, a frame, an argument.
 *
 * `source` stands at the front of every error's path. Throws `FABRIC_INVALID_VALUE` for a wrong shape or an unknown field, naming the
 * path, the value and what was expected; whether the numbers make sense together is for `proveLiveness`.
 */
export function parseStrategy(value: unknown, source: string): FabricStrategy {
  const fields = new FieldReader(value, source);
  const autopilot = fields.take("autopilot");
  const strategy: FabricStrategy = {
    name: fields.string("name", { maxLength: 64 }),
    consensus: parseConsensus(fields.take("consensus"), fields.at("consensus")),
    membership: parseMembership(fields.take("membership"), fields.at("membership")),
    content: parseContent(fields.take("content"), fields.at("content")),
    attestation: parseAttestation(fields.take("attestation"), fields.at("attestation")),
    placement: parsePlacement(fields.take("placement"), fields.at("placement")),
    reconciliationCadenceMs: fields.number("reconciliationCadenceMs"),
    ...(autopilot === undefined ? {} : { autopilot: parseAutopilot(autopilot, fields.at("autopilot")) }),
  };
  fields.finish();
  return strategy;
}

function parseConsensus(value: unknown, path: string): ConsensusStrategy {
  const fields = new FieldReader(value, path);
  const protocol = fields.oneOf("protocol", ["raft", "standalone"]);
  const timing = {
    electionTimeoutMs: fields.number("electionTimeoutMs"),
    snapshotIntervalEntries: fields.number("snapshotIntervalEntries"),
  };
  const consensus: ConsensusStrategy =
    protocol === "raft" ? { protocol, quorumSize: fields.number("quorumSize"), ...timing } : { protocol, ...timing };
  fields.finish();
  return consensus;
}

function parseMembership(value: unknown, path: string): MembershipStrategy {
  const fields = new FieldReader(value, path);
  const membership: MembershipStrategy = {
    phiThreshold: fields.number("phiThreshold"),
    gossipCadenceMs: fields.number("gossipCadenceMs"),
    failureDetectorTimeoutMs: fields.number("failureDetectorTimeoutMs"),
    suspicionMs: fields.number("suspicionMs"),
  };
  fields.finish();
  return membership;
}

function parseContent(value: unknown, path: string): ContentStrategy {
  const fields = new FieldReader(value, path);
  const content: ContentStrategy = {
    syncCadenceMs: fields.number("syncCadenceMs"),
    gcRetentionMs: fields.number("gcRetentionMs"),
  };
  fields.finish();
  return content;
}

function parseAttestation(value: unknown, path: string): AttestationStrategy {
  const fields = new FieldReader(value, path);
  const attestation: AttestationStrategy = {
    sealIntervalMs: fields.number("sealIntervalMs"),
    requireOperatorSignature: fields.boolean("requireOperatorSignature", false),
  };
  fields.finish();
  return attestation;
}

function parsePlacement(value: unknown, path: string): PlacementStrategy {
  const fields = new FieldReader(value, path);
  const policy = fields.oneOf("policy", ["zone-aware", "rack-aware", "latency-aware", "spread", "none"]);
  const placement = placementOf(policy, fields);
  fields.finish();
  return placement;
}

function placementOf(policy: PlacementStrategy["policy"], fields: FieldReader): PlacementStrategy {
  switch (policy) {
    case "zone-aware":
      return { policy, minZones: fields.number("minZones") };
    case "rack-aware":
      return { policy, minRacks: fields.number("minRacks") };
    case "latency-aware":
      return { policy, maxP99Ms: fields.number("maxP99Ms") };
    case "spread":
    case "none":
      return { policy };
  }
}

/** The numbers of an autopilot, and the least that each may be. */
export const autopilotNumbers: Readonly<
  Record<Exclude<keyof AutopilotStrategy, "cleanupDeadNodes" | "redundancyZones" | "upgradeMigration">, number>
> = {
  stabilizationMs: 0,
  maxTrailingEntries: 1,
  warmStandbys: 0,
  minQuorum: 1,
  deadNodeMs: 1,
  dampingMs: 0,
  catchUpMs: 1,
  retryMs: 0,
  demotingMs: 1,
};

/** The switches of an autopilot. */
export const autopilotSwitches: readonly ["cleanupDeadNodes", "redundancyZones", "upgradeMigration"] = [
  "cleanupDeadNodes",
  "redundancyZones",
  "upgradeMigration",
];

/** Reads an autopilot from an untrusted value. Throws `FABRIC_INVALID_VALUE`, naming the path, the value and what was expected. */
export function parseAutopilot(value: unknown, path: string): AutopilotStrategy {
  const fields = new FieldReader(value, path);
  const parsed: Record<string, number | boolean> = {};
  for (const name of Object.keys(autopilotNumbers))
    if (fields.take(name) !== undefined) parsed[name] = fields.number(name);
  for (const name of autopilotSwitches) if (fields.take(name) !== undefined) parsed[name] = fields.boolean(name);
  fields.finish();
  return parsed;
}
