/**
 * The process of etcd's callers: a client for each endpoint. Driven over the channel of its parent.
 */
import { runCallers, type LoadOptions } from "../load.ts";
import { takeOrders } from "../processes.ts";
import { SteadyWriter } from "../steady-writer.ts";
import { EtcdClient } from "./client.ts";

/** What the callers' process can be told. Whoever is asked to load talks to the first endpoint. */
export type EtcdOrder =
  | { readonly type: "connect"; readonly endpoints: readonly string[] }
  | { readonly type: "load"; readonly options: LoadOptions; readonly reads: boolean }
  | { readonly type: "begin-writes"; readonly payloadBytes: number; readonly everyMs: number }
  | { readonly type: "next-write"; readonly sinceMs: number }
  | { readonly type: "end-writes" };

/** To each endpoint: of one and of ten no more came through. */
const connections = 4;

let clients: readonly EtcdClient[] = [];
let writer: SteadyWriter | undefined;

function keyOf(caller: number): Uint8Array {
  return new TextEncoder().encode(`caller-${caller}`);
}

async function connect(endpoints: readonly string[]): Promise<void> {
  for (const client of clients) client[Symbol.dispose]();
  clients = endpoints.map((endpoint) => new EtcdClient(endpoint, connections));
  for (const client of clients) await client.status();
}

function load({ options, reads }: Extract<EtcdOrder, { type: "load" }>): Promise<unknown> {
  const keys = Array.from({ length: options.callers }, (_, caller) => keyOf(caller));
  return runCallers(options, (payload, caller) => {
    const key = keys[caller] as Uint8Array;
    const client = clients[caller % clients.length] as EtcdClient;
    return reads ? client.get(key, caller) : client.put(key, payload, caller);
  });
}

async function beginWrites({ payloadBytes, everyMs }: Extract<EtcdOrder, { type: "begin-writes" }>): Promise<void> {
  const payload = new Uint8Array(payloadBytes).fill(7);
  const key = keyOf(0);
  writer = new SteadyWriter((turn) => {
    const client = clients[turn % clients.length] as EtcdClient;
    return client.put(key, payload);
  }, everyMs);
}

function carryOut(order: EtcdOrder): Promise<unknown> {
  switch (order.type) {
    case "connect":
      return connect(order.endpoints);
    case "load":
      return load(order);
    case "begin-writes":
      return beginWrites(order);
    case "next-write":
      return writer?.nextAfter(order.sinceMs) ?? Promise.reject(new Error("nobody writes"));
    case "end-writes":
      return Promise.resolve(writer?.stop());
  }
}

takeOrders(carryOut);
