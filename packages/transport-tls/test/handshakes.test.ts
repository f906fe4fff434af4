import { connect as connectTcp, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { sourceOf } from "../src/address.ts";
import { HandshakeBudget } from "../src/core/handshake-budget.ts";
import { TrafficLoad } from "../src/core/traffic-load.ts";
import { HandshakeGate } from "../src/handshake-gate.ts";
import { credentials, Foreigner } from "./foreign.ts";
import { bytes, echo, ManualClock, Nodes, portOf, text, until } from "./harness.ts";

const limits = { perSecond: 50, burst: 4, violationWaitMs: 1000 };

/** Begins as many handshakes as may begin now. */
function spend(budget: HandshakeBudget, source: string, nowMs: number, share = 1): number {
  let begun = 0;
  for (; budget.waitMs(source, nowMs, share) === 0; begun++) budget.take(source, nowMs, share);
  return begun;
}

describe("the budget of handshakes", () => {
  test("lets a source begin its burst at once, and one more each time that its rate allows", () => {
    const budget = new HandshakeBudget(limits, 0);
    expect(spend(budget, "a", 0)).toBe(4);
    expect(budget.waitMs("a", 0)).toBeCloseTo(20);
    expect(budget.waitMs("a", 15)).toBeCloseTo(5);
    expect(spend(budget, "a", 20)).toBe(1);
    expect(spend(budget, "a", 100_000)).toBe(4);
  });

  test("gives strangers of all sources together twice what it gives to one, and members' sources their own all the same", () => {
    const budget = new HandshakeBudget(limits, 0);
    budget.take("member", 0);
    budget.admitted("member", "peer consensus", 0);
    const begun = Array.from({ length: 100 }, (_, index) => spend(budget, `stranger ${index}`, 0));
    expect(begun.reduce((sum, each) => sum + each)).toBe(8);
    expect(spend(budget, "member", 0)).toBe(4);
    expect(budget.waitMs("another stranger", 0)).toBeCloseTo(10);
  });

  test("takes nothing for a peer that is admitted, but for one that comes back within a second", () => {
    const budget = new HandshakeBudget({ ...limits, perSecond: 0.001, burst: 4 }, 0);
    const come = (who: string, nowMs: number): void => {
      budget.take("a", nowMs);
      budget.admitted("a", who, nowMs);
    };
    for (let peer = 0; peer < 200; peer++) come(`${peer} consensus`, 0);
    expect(budget.waitMs("a", 0)).toBe(0);
    come("1 consensus", 0);
    come("1 consensus", 999);
    come("1 consensus", 1999);
    expect(spend(budget, "a", 1999)).toBe(2);
  });

  test("has a source wait for a second after a connection from there broke the protocol, at any share, and nobody else", () => {
    for (const share of [1, 0.05]) {
      const budget = new HandshakeBudget(limits, 0);
      budget.admitted("member", "peer consensus", 0);
      for (const nowMs of [0, 200, 400]) budget.violated("member", nowMs);
      expect(budget.waitMs("member", 400, share)).toBe(1000);
      expect(spend(budget, "member", 1399, share)).toBe(0);
      expect(spend(budget, "member", 1400 + 20 / share, share)).toBe(1);
      expect(spend(budget, "other", 400, share)).toBe(4);
    }
  });

  test("gives a share of rate and burst where it is asked for one, but never less than four at once", () => {
    const wide = new HandshakeBudget({ ...limits, perSecond: 50, burst: 100 }, 0);
    expect(spend(wide, "a", 0, 0.1)).toBe(10);
    expect(wide.waitMs("a", 0, 0.1)).toBeCloseTo(200);
    expect(spend(wide, "a", 200, 0.1)).toBe(1);
    expect(spend(wide, "a", 220, 1)).toBe(1);
    const narrow = new HandshakeBudget({ ...limits, perSecond: 50, burst: 8 }, 0);
    expect(spend(narrow, "a", 0, 0.1)).toBe(4);
    const single = new HandshakeBudget({ ...limits, perSecond: 50, burst: 1 }, 0);
    expect(spend(single, "a", 0, 0.1)).toBe(1);
  });

  test("forgets sources when there are too many, and never a member's before a stranger's", () => {
    const budget = new HandshakeBudget({ ...limits, perSecond: 1, burst: 1 }, 0);
    budget.admitted("member", "peer consensus", 0);
    for (let index = 0; index < 10_000; index++) budget.waitMs(`stranger ${index}`, 0);
    spend(budget, "one of them", 0);
    expect(spend(budget, "another", 0)).toBe(1);
    expect(spend(budget, "a third", 0)).toBe(0);
    expect(spend(budget, "member", 0)).toBe(1);
  });
});

describe("the load that admitted peers make", () => {
  test("leaves handshakes all of their budget while it is calm, and then in inverse proportion down to a twentieth", () => {
    const load = new TrafficLoad(0);
    const shareAfter = (frames: number, fromMs: number): number => {
      load.perSecond(fromMs);
      load.frames += frames;
      return load.share(fromMs + 1000);
    };
    expect(shareAfter(0, 0)).toBe(1);
    expect(shareAfter(25, 2000)).toBe(1);
    expect(shareAfter(50, 4000)).toBeCloseTo(0.5);
    expect(shareAfter(500, 6000)).toBeCloseTo(0.05);
    expect(shareAfter(1_000_000, 8000)).toBeCloseTo(0.05);
    expect(shareAfter(0, 10_000)).toBe(1);
  });

  test("is felt before its window is over, and forgotten a window after it has ended", () => {
    const load = new TrafficLoad(0);
    load.frames += 60;
    expect(load.perSecond(10)).toBeCloseTo(300);
    expect(load.perSecond(200)).toBeCloseTo(300);
    expect(load.perSecond(399)).toBeCloseTo(300);
    expect(load.perSecond(400)).toBe(0);
  });
});

/** Turns and time by hand. */
class SteppedClock extends ManualClock {
  readonly #turns: (() => void)[] = [];

  override nextTurn(callback: () => void): void {
    this.#turns.push(callback);
  }

  turn(): void {
    for (const callback of this.#turns.splice(0)) callback();
  }
}

describe("the gate of handshakes", () => {
  test("begins one beside no other, in the next turn after it is over or when it has taken 5 ms", () => {
    const clock = new SteppedClock();
    const gate = new HandshakeGate(clock, { ...limits, perSecond: 50, burst: 100 }, new TrafficLoad(0));
    const begun: number[] = [];
    const leave = [0, 1, 2, 3].map((number) => gate.enter("a", () => begun.push(number)));
    expect(begun).toEqual([0]);
    leave[0]?.();
    expect(begun).toEqual([0]);
    clock.turn();
    expect(begun).toEqual([0, 1]);
    clock.advance(4);
    expect(begun).toEqual([0, 1]);
    clock.advance(1);
    expect(begun).toEqual([0, 1, 2]);
    // One that was given up is passed over, and nothing is left behind.
    leave[3]?.();
    clock.turn();
    clock.advance(1000);
    expect(begun).toEqual([0, 1, 2]);
    expect(clock.pending).toBe(0);
  });

  test("sources take turns, however many wait at one of them, and each waits for its own budget", () => {
    const clock = new SteppedClock();
    const gate = new HandshakeGate(clock, { ...limits, perSecond: 50, burst: 2 }, new TrafficLoad(0));
    const begun: string[] = [];
    const enter = (source: string): void => {
      const leave = gate.enter(source, () => {
        begun.push(source);
        clock.nextTurn(() => leave());
      });
    };
    for (let index = 0; index < 8; index++) enter("flood");
    enter("honest");
    for (let turn = 0; turn < 10; turn++) clock.turn();
    expect(begun).toEqual(["flood", "flood", "honest"]);
    for (let ms = 0; ms < 60; ms++) {
      clock.advance(1);
      for (let turn = 0; turn < 3; turn++) clock.turn();
    }
    expect(begun.slice(3)).toEqual(["flood", "flood", "flood"]);
  });
});

test("a flood gets a twentieth of its turns while admitted peers have much to say, and all of them soon after", () => {
  const clock = new SteppedClock();
  const load = new TrafficLoad(0);
  const gate = new HandshakeGate(clock, { ...limits, perSecond: 50, burst: 8 }, load);
  let begun = 0;
  const enter = (): void => {
    const leave = gate.enter("flood", () => {
      begun += 1;
      clock.nextTurn(() => {
        leave();
        enter();
      });
    });
  };
  const passMs = (ms: number, frames: number): number => {
    const before = begun;
    for (let passed = 0; passed < ms; passed++) {
      load.frames += frames;
      clock.advance(1);
      clock.turn();
      clock.turn();
    }
    return begun - before;
  };
  passMs(1000, 1);
  for (let flooding = 0; flooding < 4; flooding++) enter();
  // Four at once, and five in two seconds, but for timers of whole milliseconds.
  const busy = passMs(8000, 1);
  expect(busy).toBeGreaterThan(4 + 17);
  expect(busy).toBeLessThanOrEqual(4 + 20);
  const calmer = passMs(4000, 0);
  expect(calmer).toBeGreaterThan(180);
  expect(calmer).toBeLessThan(210);
});

test("a source is an IPv4 address or 64 bits of an IPv6 one", () => {
  expect(sourceOf("10.0.0.7")).toBe("10.0.0.7");
  expect(sourceOf("::ffff:10.0.0.7")).toBe("10.0.0.7");
  expect(sourceOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
  expect(sourceOf("2001:db8:1:2::6")).toBe("2001:db8:1:2::/64");
  expect(sourceOf("2001:db8::6")).toBe("2001:db8:0:0::/64");
  expect(sourceOf("fe80::1%eth0")).toBe("fe80:0:0:0::/64");
  expect(sourceOf("::1")).toBe("0:0:0:0::/64");
});

describe("a listener", () => {
  /** A connection that speaks at once, or never. */
  const knock = (node: { listening(): readonly string[] }, from: string, said?: Uint8Array): Socket => {
    const socket = connectTcp({ port: portOf(node.listening()[0]), host: "127.0.0.1", localAddress: from });
    socket.on("error", () => {});
    if (said !== undefined) socket.write(said);
    return socket.resume();
  };

  test("makes strangers of one address wait once it has begun too many of their handshakes, and lets a member of another in", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const refused: string[] = [];
    const node = await nodes.start(1, {
      clock,
      limits: { handshakesPerSecond: 1, handshakeBurst: 3 },
      metrics: {
        count: (name, _, labels) => {
          if (name === "revoada_transport_refused_handshakes_total") refused.push(String(labels?.["reason"]));
        },
        gauge() {},
        observe() {},
      },
    });
    node.handle(echo, { onRequest: async (payload) => payload });
    const flood = Array.from({ length: 20 }, () => knock(node, "127.0.0.9", bytes("GET / HTTP/1.1\r\n\r\n")));
    await until(() => refused.length === 3);
    const friend = await nodes.start(2, { listen: [], addresses: [[node.localId, node.listening()]] });
    expect(text(await friend.request(node.localId, echo, bytes("hi")))).toBe("hi");
    expect(refused).toEqual(Array.from({ length: 3 }, () => "handshake"));
    clock.advance(1000);
    await until(() => refused.length === 4);
    // The others have waited as long as a handshake may take.
    clock.advance(2000);
    await until(() => refused.filter((reason) => reason === "timeout").length >= 15);
    for (const socket of flood) socket.destroy();
  });

  test("makes an admitted peer wait whose connection broke the protocol, and nobody of another address", async () => {
    await using nodes = new Nodes();
    const clock = new ManualClock();
    const node = await nodes.start(1, { clock, limits: { handshakesPerSecond: 10, handshakeBurst: 3 } });
    node.handle(echo, { onRequest: async (payload) => payload });
    const hostile = { ...credentials(3), localAddress: "127.0.0.9" };
    const first = new Foreigner(node.listening()[0], hostile);
    await first.greet();
    first.socket.write(Buffer.of(0, 0, 0, 0));
    await first.closed;

    const second = new Foreigner(node.listening()[0], hostile);
    let isSecured = false;
    void second.secured.then(() => (isSecured = true));
    const friend = await nodes.start(2, { listen: [], addresses: [[node.localId, node.listening()]] });
    expect(text(await friend.request(node.localId, echo, bytes("hi")))).toBe("hi");
    expect(isSecured).toBe(false);
    for (let step = 0; step < 11; step++) clock.advance(100);
    await second.secured;
    second.socket.destroy();
  });

  test("counts nothing for a connection that says nothing, such as a probe of its port", async () => {
    await using nodes = new Nodes();
    const node = await nodes.start(1, {
      clock: new ManualClock(),
      limits: { handshakesPerSecond: 1, handshakeBurst: 1 },
    });
    for (let index = 0; index < 5; index++) {
      const probe = knock(node, "127.0.0.1");
      await new Promise((resolve) => probe.once("connect", resolve));
      const closed = new Promise((resolve) => probe.once("close", resolve));
      probe.end();
      await closed;
    }
    const foreigner = new Foreigner(node.listening()[0], credentials(3));
    await foreigner.secured;
    foreigner.socket.destroy();
  });
});
