import { fairWeather, GossipWorld, settledWorld } from "@revoada/simulation";
import { expect, test } from "vitest";

const datacenter = {
  phiThreshold: 8,
  gossipCadenceMs: 500,
  failureDetectorTimeoutMs: 2_000,
  suspicionMs: 10_000,
};

const deaths = (world: GossipWorld) => world.sightings.filter(({ status }) => status === "dead");

test.each([0.1, 0.2, 0.3])(
  "one simulated hour at a loss of %d, with duplicates and reordering: no false death",
  { timeout: 120_000 },
  (loss) => {
    const world = settledWorld({ seed: 40, nodes: 5, strategy: datacenter }, 5_000);
    world.weather = { loss, duplication: 0.1, latencyMs: [1, 400] };
    world.advance(3_600_000);
    expect(deaths(world)).toEqual([]);
    expect(world.totals.lostFrames).toBeGreaterThan(1_000);
    expect(world.totals.duplicatedFrames).toBeGreaterThan(1_000);
    world.weather = fairWeather;
    expect(world.until(() => world.isWhole, 60_000)).toBeDefined();
  },
);

test.each([1_000, 3_000, 10_000, 30_000])(
  "event-loop stall of %i ms on a tenth of the nodes: the stallers accuse nobody, and all are alive again by themselves",
  { timeout: 120_000 },
  (durationMs) => {
    const world = settledWorld({ seed: 41, nodes: 40 });
    const stalled = [4, 13, 22, 31];
    for (const number of stalled) world.stall(number, durationMs);
    world.advance(durationMs);
    const isStalled = (number: number): boolean => stalled.includes(number);
    if (durationMs < world.strategy.suspicionMs) expect(deaths(world)).toEqual([]);
    else expect(deaths(world).length).toBeGreaterThan(0);
    expect(world.until(() => world.isWhole, 60_000, 50)).toBeDefined();
    world.advance(5_000);
    expect(world.isWhole).toBe(true);
    // Whatever anybody ever saw was of those who did stand still.
    expect(world.sightings.filter(({ member }) => !isStalled(member))).toEqual([]);
  },
);

test(
  "a hundred nodes that know one seed only come to know each other, and nobody is accused meanwhile",
  { timeout: 60_000 },
  () => {
    const world = new GossipWorld({ seed: 42, nodes: 100 });
    world.startAll();
    expect(world.until(() => world.isWhole, 10_000)).toBeLessThan(5_000);
    world.advance(3_000);
    expect(world.sightings).toEqual([]);
  },
);

test(
  "a partition in halves of thirty nodes, for longer than a suspicion: silent deaths on both sides, and whole by itself once healed",
  { timeout: 60_000 },
  () => {
    const world = settledWorld({ seed: 43, nodes: 60 });
    const left = world.nodes.filter(({ number }) => number % 2 === 0).map(({ number }) => number);
    const right = world.nodes.filter(({ number }) => number % 2 === 1).map(({ number }) => number);
    world.split(left, right);
    const apart = (): boolean =>
      left.every((one) =>
        right.every((other) => world.sees(one, other) === "dead" && world.sees(other, one) === "dead"),
      );
    expect(world.until(apart, 30_000, 100)).toBeGreaterThanOrEqual(world.strategy.suspicionMs);
    const sameSide = world.sightings.filter(({ observer, member }) => observer % 2 === member % 2);
    expect(sameSide).toEqual([]);
    world.heal();
    expect(world.until(() => world.isWhole, 60_000, 100)).toBeDefined();
  },
);

test("one reachable peer only: nobody dies, and bystanders never flap", { timeout: 60_000 }, () => {
  const world = settledWorld({ seed: 44, nodes: 30 });
  const subject = 17;
  const observers = [...world.node(subject).listeners].map((id) => world.numberOf(id));
  const [hearer = -1] = observers;
  for (const { number } of world.nodes) if (number !== subject && number !== hearer) world.cut(subject, number);
  world.advance(30_000);
  expect(deaths(world)).toEqual([]);
  expect(world.sightings.length).toBeGreaterThan(0);
  expect(world.sightings.filter(({ observer, member }) => member !== subject || !observers.includes(observer))).toEqual(
    [],
  );
});
