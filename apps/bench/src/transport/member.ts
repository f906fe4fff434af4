/**
 * A process that is one end of either program, or attacks. Driven over the channel of its parent.
 */
import { runCallers } from "../load.ts";
import { takeOrders } from "../processes.ts";
import { Attacker } from "./attacker.ts";
import { BareEndpoint } from "./bare.ts";
import { pace, timedBulk, type Endpoint } from "./endpoint.ts";
import type { Order } from "./orders.ts";
import { TransportEndpoint } from "./ours.ts";

let opened: Endpoint | undefined;
let attacker: Attacker | undefined;

function endpoint(): Endpoint {
  if (opened === undefined) throw new Error("this end is not open");
  return opened;
}

async function attack({ victim, attack: kind, seed }: Extract<Order, { type: "attack" }>): Promise<void> {
  attacker = new Attacker(seed);
  await attacker.begin(victim, kind);
}

function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open":
      opened = order.program === "transport" ? new TransportEndpoint(order.seed) : new BareEndpoint(order.seed);
      return opened.open();
    case "meet":
      return endpoint().meet(order.peers);
    case "load":
      return runCallers(order.options, (payload) => endpoint().request(payload));
    case "bulk":
      return timedBulk(endpoint(), order.messageBytes, order.forMs);
    case "pace":
      return pace(endpoint(), order);
    case "attack":
      return attack(order);
    case "end-attack":
      return attacker?.end() ?? Promise.reject(new Error("nobody attacks"));
  }
}

takeOrders(carryOut);
