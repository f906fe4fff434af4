import type { NodeId, ProbeResult, Transport, TransportEvent } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { expect, test } from "vitest";
import { DoorProber } from "../src/door-prober.ts";
import { coreOf, now, signedRecord, tell } from "./cores.ts";
import { identityOf } from "./identities.ts";

const peer = identityOf(1).id;
const closing: TransportEvent = { type: "disconnected", peer, channel: "gossip", reason: "closed" };
const connecting: TransportEvent = { type: "connected", peer, channel: "gossip" };

/** A prober whose knocks are answered as the script says. */
function proberWith(answers: ProbeResult[], onKnock: (prober: DoorProber) => void = () => {}) {
  const clock = virtualClock();
  const core = coreOf(0);
  tell(core, 1, [signedRecord(1)]);
  const found: NodeId[] = [];
  let knocks = 0;
  const transport = {
    statistics: () => [],
    probe: async (): Promise<ProbeResult> => {
      knocks += 1;
      onKnock(prober);
      return answers.shift() ?? "unreachable";
    },
  } as unknown as Transport;
  const prober = new DoorProber({ transport, clock, core, pauseMs: 50, closed: (id) => found.push(id) });
  return { prober, clock, core, found, knocks: () => knocks };
}

test("a closed connection and two refused knocks are a closed death", async () => {
  const { prober, clock, found } = proberWith(["refused", "refused"]);
  prober.transportEvent(connecting);
  prober.transportEvent(closing);
  await clock.advanceAsync(1_000);
  expect(found).toEqual([peer]);
});

test.each<ProbeResult[]>([["open"], ["unreachable"], ["refused", "open"], ["refused", "unreachable"]])(
  "a closed connection and the answers %s, %s prove nothing",
  async (...answers) => {
    const { prober, clock, found } = proberWith([...answers]);
    prober.transportEvent(connecting);
    prober.transportEvent(closing);
    await clock.advanceAsync(1_000);
    expect(found).toEqual([]);
  },
);

test("who connects while its door is being tried is not accused", async () => {
  const { prober, clock, found } = proberWith(["refused", "refused"], (self) => self.transportEvent(connecting));
  prober.transportEvent(closing);
  await clock.advanceAsync(1_000);
  expect(found).toEqual([]);
});

test.each(["timeout", "local", "error"] as const)(
  "a connection that ended by %s is no reason to knock",
  async (reason) => {
    const { prober, clock, knocks } = proberWith(["refused", "refused"]);
    prober.transportEvent(connecting);
    prober.transportEvent({ ...closing, reason });
    await clock.advanceAsync(1_000);
    expect(knocks()).toBe(0);
  },
);

test("a suspicion is a reason to knock only where a connection once was and is no more", async () => {
  const never = proberWith(["refused", "refused"]);
  never.prober.suspect(peer);
  await never.clock.advanceAsync(1_000);
  expect(never.knocks()).toBe(0);
  const connected = proberWith(["refused", "refused"]);
  connected.prober.transportEvent(connecting);
  connected.prober.suspect(peer);
  await connected.clock.advanceAsync(1_000);
  expect(connected.knocks()).toBe(0);
  connected.prober.transportEvent({ ...closing, reason: "timeout" });
  connected.prober.suspect(peer);
  await connected.clock.advanceAsync(1_000);
  expect(connected.found).toEqual([peer]);
});

test("a host that doubts itself knocks later", async () => {
  const { prober, clock, core, found, knocks } = proberWith(["refused", "refused"]);
  prober.transportEvent(connecting);
  await clock.advanceAsync(5_000);
  core.tick(now(5_000));
  prober.transportEvent(closing);
  await clock.advanceAsync(1_000);
  expect(knocks()).toBe(0);
  core.turn(6_000, false);
  core.turn(6_000, false);
  await clock.advanceAsync(20_000);
  prober.resume();
  await clock.advanceAsync(1_000);
  expect(found).toEqual([peer]);
});

test("nobody is knocked at twice at once, nor after the end", async () => {
  const { prober, clock, knocks } = proberWith(["open", "open", "open"]);
  prober.transportEvent(closing);
  prober.transportEvent(closing);
  prober.transportEvent(closing);
  await clock.advanceAsync(1_000);
  expect(knocks()).toBe(1);
  prober.stop();
  prober.transportEvent(closing);
  await clock.advanceAsync(1_000);
  expect(knocks()).toBe(1);
});
