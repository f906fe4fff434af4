import {
  FabricError,
  type Face,
  type NodeId,
  type ResourceWatchEvent,
  type Revision,
  type Transport,
} from "@revoada/fabric";
import { memoryNetwork, type MemoryNetwork } from "@revoada/fabric/memory";
import { systemClock } from "@revoada/fabric/node";
import { faceProtocol, remoteFace, serveFace } from "@revoada/face-pure-raft";
import { expect, test } from "vitest";
import { decodeWire, encodeWire } from "../src/wire/cbor.ts";
import { WatchPosition } from "../src/peers/watch-position.ts";
import { codeOf, collect, machine, machines, startedFace, streamOf, type LocalFace } from "./support/fixtures.ts";

const [one, two, edge] = ["1".repeat(64), "2".repeat(64), "e".repeat(64)] as [NodeId, NodeId, NodeId];
const a = { kind: "Machine", name: "a" } as const;

interface Peers extends LocalFace, AsyncDisposable {
  readonly network: MemoryNetwork;
  readonly remote: Face;
  readonly transports: readonly Transport[];
}

/** Two replicas that serve one face, and a node that asks them. */
async function peers(faces: { readonly one?: (face: Face) => Face } = {}): Promise<Peers> {
  const local = await startedFace();
  const network = memoryNetwork({ clock: systemClock() });
  const transports = [one, two, edge].map((id) => network.transport(id));
  for (const transport of transports) await transport.start();
  const [first, second, near] = transports as [Transport, Transport, Transport];
  serveFace({ transport: first, face: faces.one?.(local.face) ?? local.face });
  serveFace({ transport: second, face: local.face });
  const remote = remoteFace({ transport: near, replicas: () => [edge, one, two] });
  await remote.start();
  return {
    ...local,
    network,
    remote,
    transports,
    async [Symbol.asyncDispose]() {
      await remote.shutdown();
      for (const transport of transports) await transport.shutdown();
      await local.face.shutdown();
    },
  };
}

test("verbs go to the next replica where the first is gone, writes too", async () => {
  await using cluster = await peers();
  cluster.network.down(one);
  const [applied] = await cluster.remote.apply(machines("a"));
  expect(applied).toMatchObject({ ref: a, outcome: "created", revision: 1 });
  expect(await cluster.remote.get(a)).toEqual(await cluster.face.get(a));
  expect(cluster.remote.counts()).toEqual({ resources: 1, subscribers: 0 });
});

test("a face that does not run is passed over, and refusals come with their code", async () => {
  await using cluster = await peers({ one: () => Object.create(null) as Face });
  // What the first does is its own fault and unknown to others: a write must not be repeated.
  expect(await codeOf(cluster.remote.apply(machines("a")))).toBe("FACE_INTERNAL");
  await cluster.face.shutdown();
  expect(await codeOf(cluster.remote.get(a))).toBe("FACE_INTERNAL");
});

test("with no replica in reach verbs are FACE_NO_REPLICA, which may be tried again", async () => {
  await using cluster = await peers();
  cluster.network.down(one);
  cluster.network.down(two);
  for (const call of [cluster.remote.apply(machines("a")), cluster.remote.list({})]) {
    await expect(call).rejects.toMatchObject({ code: "FACE_NO_REPLICA", retryable: true });
  }
  expect(await codeOf(cluster.remote.restore(streamOf([])))).toBe("FACE_NO_REPLICA");
});

test("a write whose answer is lost is RAFT_OUTCOME_UNKNOWN and not sent again, a read goes on elsewhere", async () => {
  let calls = 0;
  const cluster: Peers = await peers({
    one: (face) => ({
      ...bound(face),
      apply: async (...input) => {
        calls++;
        await face.apply(...input);
        cluster.network.down(one);
        return face.apply(...input);
      },
    }),
  });
  await using _all = cluster;
  expect(await codeOf(cluster.remote.apply(machine("a", 1)))).toBe("RAFT_OUTCOME_UNKNOWN");
  expect([calls, cluster.catalog.transactions]).toEqual([1, 1]);
  expect((await cluster.remote.get(a)).revision).toBe(1);
});

test("a lease whose grant was not answered may have been granted, and a renewal goes on at another replica", async () => {
  const cluster: Peers = await peers({
    one: (face) => ({
      ...bound(face),
      leases: {
        ...face.leases,
        grant: async (...input) => {
          await face.leases.grant(...input);
          cluster.network.down(one);
          return face.leases.grant(...input);
        },
      },
    }),
  });
  await using _all = cluster;
  expect(await codeOf(cluster.remote.leases.grant({ ttlMs: 60_000 }))).toBe("RAFT_OUTCOME_UNKNOWN");
  const [lease] = (await cluster.remote.leases.list()).leases;
  expect(await cluster.remote.leases.keepAlive(lease?.id ?? (0 as never))).toEqual({ ttlMs: 60_000 });
  expect(cluster.catalog.leases.renewals).toBe(1);
});

test("what a peer asks about leases is checked before the face sees it, and what it does not know is refused", async () => {
  await using cluster = await peers();
  const [, , near] = cluster.transports as [Transport, Transport, Transport];
  const questions: readonly (readonly [string, unknown])[] = [
    ["lease.grant", { ttlMs: "long" }],
    ["lease.grant", { ttlMs: 60_000, duty: "No Duty" }],
    ["lease.grant", { ttlMs: 60_000, colour: "red" }],
    ["lease.revoke", { lease: -1 }],
    ["lease.keepAlive", { lease: 1, timeoutMs: 3_600_000 }],
    ["lease.resources", { lease: 1, after: "a" }],
    ["apply", { body: new Uint8Array(), fence: { duty: "a", token: { term: 1 } } }],
  ];
  for (const [verb, parameters] of questions) {
    const [type, code] = decodeWire(
      await near.request(one, faceProtocol, encodeWire([verb, parameters]), { timeoutMs: 5_000 }),
    ) as [string, string];
    expect([verb, type, code]).toEqual([verb, "error", "FABRIC_INVALID_VALUE"]);
  }
  expect(await cluster.catalog.leases.list()).toEqual([]);
});

test("a refusal by the layers below keeps its code, even where it looks like one of the transport", async () => {
  await using cluster = await peers();
  cluster.catalog.refusal = new FabricError("TRANSPORT_UNREACHABLE", "told by a replica", { retryable: true });
  expect(await codeOf(cluster.remote.apply(machines("a")))).toBe("TRANSPORT_UNREACHABLE");
  expect(cluster.catalog.transactions).toBe(1);
});

test("a watch whose replica goes away goes on at the next, with nothing lost and nothing twice", async () => {
  await using cluster = await peers();
  await cluster.face.apply(machines("a", "b"));
  const controller = new AbortController();
  const seen: string[] = [];
  let wake = (): void => {};
  const watching = (async () => {
    for await (const event of cluster.remote.watch({}, { signal: controller.signal })) {
      seen.push(event.type === "reset" ? "reset" : `${event.type} ${event.ref.name} ${event.revision}`);
      wake();
    }
  })();
  const until = async (count: number): Promise<void> => {
    while (seen.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  await until(2);
  await cluster.face.apply(machine("a", 1));
  await until(3);
  cluster.network.down(one);
  await cluster.face.apply(machine("b", 1));
  await cluster.face.delete(a);
  await until(5);
  controller.abort();
  await watching;
  expect(seen).toEqual(["added a 1", "added b 1", "modified a 2", "modified b 3", "deleted a 4"]);
});

test("a snapshot travels whole, and one that its sender breaks off restores nothing", async () => {
  await using cluster = await peers();
  await cluster.face.apply(machines("a"));
  const chunks = await collect(cluster.remote.snapshot());
  await cluster.face.apply(machines("b"));
  const broken = (async function* () {
    yield chunks[0] as Uint8Array;
    throw new Error("the file ends here");
  })();
  await expect(cluster.remote.restore(broken)).rejects.toThrow("the file ends here");
  expect(cluster.face.counts().resources).toBe(2);
  expect(await cluster.remote.restore(streamOf(chunks))).toBe(3);
  expect(cluster.face.counts().resources).toBe(1);
});

test("what a peer sends is checked: unknown verbs, unknown fields, garbage", async () => {
  await using cluster = await peers();
  const near = cluster.transports[2] as Transport;
  const answers: string[] = [];
  for (const payload of [
    encodeWire(["explode", {}]),
    encodeWire(["get", { ref: a, surprise: 1 }]),
    encodeWire(["get", { ref: { kind: "../etc", name: "x" } }]),
    encodeWire(["apply", { format: "yaml", body: "text" }]),
    encodeWire({}),
    Uint8Array.of(0x9b, 255, 255, 255, 255, 255, 255, 255, 255),
    new Uint8Array(0),
  ]) {
    const answer = Buffer.from(await near.request(one, faceProtocol, payload)).toString("latin1");
    answers.push(/FABRIC_INVALID_VALUE|FACE_PROTOCOL/.exec(answer)?.[0] ?? answer);
  }
  const [invalid, protocol] = ["FABRIC_INVALID_VALUE", "FACE_PROTOCOL"];
  expect(answers).toEqual([protocol, invalid, invalid, invalid, protocol, protocol, protocol]);
});

test("a replica that answers nonsense is passed over by reads, and leaves a write's outcome unknown", async () => {
  await using cluster = await peers();
  const [first] = cluster.transports as [Transport];
  cluster.network.down(one);
  await first.shutdown();
  const liar = cluster.network.transport(one);
  await liar.start();
  liar.handle(faceProtocol, { onRequest: async () => Uint8Array.of(0xff) });
  await cluster.face.apply(machines("a"));
  const near = cluster.transports[2] as Transport;
  const remote = remoteFace({ transport: near, replicas: () => [one, two] });
  await remote.start();
  expect(await codeOf(remote.apply(machines("b")))).toBe("RAFT_OUTCOME_UNKNOWN");
  expect((await remote.get(a)).revision).toBe(1);
  await liar.shutdown();
});

test("a position knows what was told of a revision that broke off in its middle", () => {
  const event = (name: string, revision: number, type: "added" | "modified" = "modified"): ResourceWatchEvent => ({
    type,
    ref: { kind: "Machine", name },
    revision: revision as Revision,
    format: "yaml",
    body: new Uint8Array(0),
  });
  const position = new WatchPosition(5 as Revision);
  expect([event("a", 7), event("b", 7)].map((one_) => position.take(one_))).toEqual([true, true]);
  expect(position.next).toBe(7);
  expect([event("a", 7), event("b", 7), event("c", 7), event("a", 8)].map((one_) => position.take(one_))).toEqual([
    false,
    false,
    true,
    true,
  ]);
  position.take({ type: "reset", revision: 20 as Revision, reason: "overflow" });
  expect(position.take(event("a", 3, "added"))).toBe(true);
  expect(position.openReset?.reason).toBe("overflow");
  expect(position.take(event("a", 21))).toBe(true);
  expect(position.openReset).toBe(undefined);
});

function bound(face: Face): Face {
  return {
    manifest: face.manifest,
    leases: face.leases,
    isRunning: () => face.isRunning(),
    start: () => face.start(),
    shutdown: () => face.shutdown(),
    apply: (...input) => face.apply(...input),
    get: (...input) => face.get(...input),
    list: (...input) => face.list(...input),
    delete: (...input) => face.delete(...input),
    watch: (...input) => face.watch(...input),
    snapshot: (...input) => face.snapshot(...input),
    restore: (...input) => face.restore(...input),
    counts: () => face.counts(),
    [Symbol.asyncDispose]: () => face[Symbol.asyncDispose](),
  };
}
