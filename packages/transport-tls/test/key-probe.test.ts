import { createServer } from "node:net";
import { keyProbe } from "@revoada/transport-tls";
import { describe, expect, test } from "vitest";
import { Events, ManualClock, Nodes, random, realClock, seed } from "./harness.ts";

const probe = keyProbe({ privateKey: seed(9), clock: realClock, random });

describe("a probe for keys", () => {
  test("learns which key is at an address, and whoever is there takes it for nobody's connection", async () => {
    await using nodes = new Nodes();
    const node = await nodes.start(1);
    const events = new Events(node);
    const [address = ""] = node.listening();
    expect(await probe(address, { timeoutMs: 5_000 })).toEqual({ peer: node.localId });
    expect([events.seen, node.statistics()]).toEqual([[], []]);
  });

  test("says why where nobody is there, nobody answers in TLS, or the address is none", async () => {
    const server = createServer((socket) => socket.end("hello\n", () => socket.destroy()));
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const foreign = await probe(`127.0.0.1:${port}`, { timeoutMs: 5_000 });
    expect("why" in foreign).toBe(true);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    expect(await probe(`127.0.0.1:${port}`, { timeoutMs: 5_000 })).toEqual({ why: "ECONNREFUSED" });
    expect(await probe("nowhere", { timeoutMs: 5_000 })).toEqual({ why: "not an address" });
  });

  test("gives up in time on who says nothing, and at once where its signal aborts", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const clock = new ManualClock();
    const patient = keyProbe({ privateKey: seed(9), clock, random });
    const silent = patient(`127.0.0.1:${port}`, { timeoutMs: 3_000 });
    clock.advance(3_000);
    expect(await silent).toEqual({ why: "no answer within 3000 ms" });
    const controller = new AbortController();
    const given = patient(`127.0.0.1:${port}`, { timeoutMs: 3_000, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(given).rejects.toThrow("enough");
    await expect(patient("127.0.0.1:1", { timeoutMs: 1, signal: controller.signal })).rejects.toThrow("enough");
    expect(clock.pending).toBe(0);
    server.close();
  });
});
