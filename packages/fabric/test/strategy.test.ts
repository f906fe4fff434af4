import {
  isFabricError,
  parseStrategy,
  prescribedDatacenter,
  prescribedHomelab,
  prescribedSolo,
  prescribedStrategies,
  proveLiveness,
  quorumSizeOf,
  type FabricStrategy,
} from "@revoada/fabric";
import { describe, expect, test } from "vitest";

/** A strategy as a file may hold it: the same fields, with anything in them. */
type Loose = Record<string, unknown> &
  Record<"consensus" | "membership" | "content" | "attestation", Record<string, unknown>>;

function homelabWith(change: (strategy: Loose) => void): FabricStrategy {
  const copy = structuredClone(prescribedHomelab()) as unknown as Loose;
  change(copy);
  return copy as unknown as FabricStrategy;
}

function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (isFabricError(error)) return error.code;
    throw error;
  }
  return "no error";
}

describe("prescribed strategies", () => {
  test("homelab is what a small network needs, number by number", () => {
    expect(prescribedHomelab()).toEqual({
      name: "homelab-3node",
      consensus: { protocol: "raft", quorumSize: 3, electionTimeoutMs: 150, snapshotIntervalEntries: 1000 },
      membership: { phiThreshold: 8, gossipCadenceMs: 100, failureDetectorTimeoutMs: 300, suspicionMs: 2000 },
      content: { syncCadenceMs: 200, gcRetentionMs: 60_000 },
      attestation: { sealIntervalMs: 1000, requireOperatorSignature: false },
      placement: { policy: "zone-aware", minZones: 1 },
      reconciliationCadenceMs: 500,
    });
  });

  test("each is proven live", () => {
    for (const make of Object.values(prescribedStrategies)) expect(proveLiveness(make())).toEqual(make());
  });

  test("solo has one voter by name, datacenter five and a suspicion of ten seconds", () => {
    expect(prescribedSolo().consensus.protocol).toBe("standalone");
    expect(quorumSizeOf(prescribedSolo())).toBe(1);
    expect(quorumSizeOf(prescribedDatacenter())).toBe(5);
    expect(prescribedDatacenter().membership.suspicionMs).toBe(10_000);
  });
});

describe("proveLiveness refuses", () => {
  const zeroes: readonly [string, (s: Loose) => void][] = [
    ["consensus.electionTimeoutMs", (s) => (s.consensus.electionTimeoutMs = 0)],
    ["consensus.snapshotIntervalEntries", (s) => (s.consensus.snapshotIntervalEntries = 0)],
    ["membership.gossipCadenceMs", (s) => (s.membership.gossipCadenceMs = 0)],
    ["membership.failureDetectorTimeoutMs", (s) => (s.membership.failureDetectorTimeoutMs = 0)],
    ["membership.suspicionMs", (s) => (s.membership.suspicionMs = 0)],
    ["content.syncCadenceMs", (s) => (s.content.syncCadenceMs = 0)],
    ["content.gcRetentionMs", (s) => (s.content.gcRetentionMs = 0)],
    ["attestation.sealIntervalMs", (s) => (s.attestation.sealIntervalMs = 0)],
    ["reconciliationCadenceMs", (s) => (s.reconciliationCadenceMs = 0)],
  ];
  test.each(zeroes)("a zero cadence at %s", (path, change) => {
    expect(() => proveLiveness(homelabWith(change))).toThrow(
      expect.objectContaining({ code: "STRATEGY_ZERO_CADENCE", message: expect.stringContaining(path) }),
    );
  });

  test("a detector timeout that is not below the reconciliation cadence, with both numbers", () => {
    const equal = homelabWith((s) => (s.reconciliationCadenceMs = 300));
    expect(() => proveLiveness(equal)).toThrow(expect.objectContaining({ code: "STRATEGY_DETECTOR_OUTPACED" }));
    expect(() => proveLiveness(equal)).toThrow(/300 ms .* 300 ms/);
  });

  test("a gossip cadence that is not below the detector timeout", () => {
    expect(codeOf(() => proveLiveness(homelabWith((s) => (s.membership.gossipCadenceMs = 300))))).toBe(
      "STRATEGY_GOSSIP_TOO_SLOW",
    );
  });

  test("a suspicion shorter than the detector timeout", () => {
    expect(codeOf(() => proveLiveness(homelabWith((s) => (s.membership.suspicionMs = 299))))).toBe(
      "STRATEGY_SUSPICION_TOO_SHORT",
    );
  });

  test("an even number of voters", () => {
    expect(codeOf(() => proveLiveness(homelabWith((s) => (s.consensus.quorumSize = 4))))).toBe("STRATEGY_EVEN_QUORUM");
  });

  test.each([0, 1, 2])("%i voters under raft", (quorumSize) => {
    expect(codeOf(() => proveLiveness(homelabWith((s) => (s.consensus.quorumSize = quorumSize))))).toBe(
      "STRATEGY_QUORUM_TOO_SMALL",
    );
  });

  test.each([Number.NaN, -1, 1.5, Number.POSITIVE_INFINITY, 2 ** 31])(
    "the number %d wherever a cadence stands",
    (value) => {
      for (const [, change] of zeroes) {
        const strategy = homelabWith((s) => {
          const before = JSON.stringify(s);
          change(s);
          const after = JSON.stringify(s);
          expect(before).not.toBe(after);
        });
        const text = JSON.stringify(strategy).replace(/:0([,}])/, ':"here"$1');
        const poisoned = JSON.parse(text, (_key, v) => (v === "here" ? value : v)) as FabricStrategy;
        expect(codeOf(() => proveLiveness(poisoned))).toBe("STRATEGY_BAD_NUMBER");
      }
    },
  );

  test.each([Number.NaN, 0, -8])("a phi threshold of %d", (value) => {
    expect(codeOf(() => proveLiveness(homelabWith((s) => (s.membership.phiThreshold = value))))).toBe(
      "STRATEGY_BAD_NUMBER",
    );
  });
});

describe("parseStrategy", () => {
  test("gives back what JSON says, for every prescribed strategy", () => {
    for (const make of Object.values(prescribedStrategies)) {
      expect(parseStrategy(JSON.parse(JSON.stringify(make())), "strategy")).toEqual(make());
    }
  });

  test("names the path, the value and what was expected", () => {
    const value = homelabWith((s) => (s.membership.gossipCadenceMs = "fast"));
    expect(() => parseStrategy(value, "cluster.yaml")).toThrow(
      'cluster.yaml.membership.gossipCadenceMs: expected a number, got "fast"',
    );
  });

  test("refuses a field that nobody knows, so that a misspelt one is not ignored", () => {
    const value = homelabWith((s) => (s.membership.gossipCadence = 5));
    expect(() => parseStrategy(value, "x")).toThrow(/x\.membership\.gossipCadence: expected no such field/);
  });

  test.each([null, 5, "homelab", [], undefined])("refuses %o in place of an object", (value) => {
    expect(codeOf(() => parseStrategy(value, "x"))).toBe("FABRIC_INVALID_VALUE");
  });

  test.each([
    { policy: "rack-aware", minRacks: 2 },
    { policy: "latency-aware", maxP99Ms: 20 },
    { policy: "spread" },
    { policy: "none" },
  ])("takes the placement %o", (placement) => {
    expect(parseStrategy({ ...prescribedHomelab(), placement }, "x").placement).toEqual(placement);
  });
});
