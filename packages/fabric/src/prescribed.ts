import type { FabricFace } from "./face.ts";
import { parseFace } from "./face-parse.ts";
import { proveLiveness } from "./liveness.ts";
import type { FabricStrategy } from "./strategy.ts";

/** Three voters on one local network: failures are noticed within a third of a second. */
export function prescribedHomelab(): FabricStrategy {
  return proveLiveness({
    name: "homelab-3node",
    consensus: { protocol: "raft", quorumSize: 3, electionTimeoutMs: 150, snapshotIntervalEntries: 1000 },
    membership: { phiThreshold: 8, gossipCadenceMs: 100, failureDetectorTimeoutMs: 300, suspicionMs: 2000 },
    content: { syncCadenceMs: 200, gcRetentionMs: 60_000 },
    attestation: { sealIntervalMs: 1000, requireOperatorSignature: false },
    placement: { policy: "zone-aware", minZones: 1 },
    reconciliationCadenceMs: 500,
  });
}

/** One machine, a quorum of one: the same log and the same proofs, no redundancy. */
export function prescribedSolo(): FabricStrategy {
  return proveLiveness({
    ...prescribedHomelab(),
    name: "solo",
    consensus: { protocol: "standalone", electionTimeoutMs: 150, snapshotIntervalEntries: 1000 },
    placement: { policy: "none" },
  });
}

/** Five voters over slow links: timings that tolerate round trips of a quarter of a second. */
export function prescribedDatacenter(): FabricStrategy {
  return proveLiveness({
    name: "datacenter-5node",
    consensus: { protocol: "raft", quorumSize: 5, electionTimeoutMs: 1500, snapshotIntervalEntries: 10_000 },
    membership: { phiThreshold: 8, gossipCadenceMs: 500, failureDetectorTimeoutMs: 2000, suspicionMs: 10_000 },
    content: { syncCadenceMs: 1000, gcRetentionMs: 600_000 },
    attestation: { sealIntervalMs: 5000, requireOperatorSignature: false },
    placement: { policy: "zone-aware", minZones: 3 },
    reconciliationCadenceMs: 2500,
  });
}

/** The certified Kubernetes face of a version such as `"1.34"`. Throws `FABRIC_INVALID_VALUE` for anything else. */
export function prescribedKubernetes(version: string): FabricFace {
  return parseFace(
    { name: `kubernetes-${version}`, kind: { protocol: "kubernetes", version, certifiedCncf: true } },
    "face",
  );
}

/** The strategies that can be asked for by name. */
export const prescribedStrategies: Readonly<Record<string, () => FabricStrategy>> = {
  homelab: prescribedHomelab,
  solo: prescribedSolo,
  datacenter: prescribedDatacenter,
};
