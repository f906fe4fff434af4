import type { Metrics, TransportChannel } from "@revoada/fabric";
import type { Slot } from "./slot.ts";
import { alpnOfChannel } from "./wire.ts";

interface Traffic {
  connections: number;
  queuedBytes: number;
  sentBytes: number;
  receivedBytes: number;
}

/** Tells metrics what all peers together cost, channel by channel. Single peers are in the statistics: as labels they would be too many. */
export class TrafficMeter {
  readonly #metrics: Metrics;
  readonly #told = new WeakMap<Slot, { readonly sentBytes: number; readonly receivedBytes: number }>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  tell(slots: Iterable<Slot>): void {
    const traffic = new Map<string, Traffic>();
    for (const channel of Object.keys(alpnOfChannel))
      traffic.set(channel, { connections: 0, queuedBytes: 0, sentBytes: 0, receivedBytes: 0 });
    for (const slot of slots) this.#add(slot, traffic.get(slot.channel) as Traffic);
    for (const [channel, { connections, queuedBytes, sentBytes, receivedBytes }] of traffic) {
      const labels = { channel: channel as TransportChannel };
      this.#metrics.gauge("revoada_transport_connections", connections, labels);
      this.#metrics.gauge("revoada_transport_queued_bytes", queuedBytes, labels);
      if (sentBytes > 0) this.#metrics.count("revoada_transport_sent_bytes_total", sentBytes, labels);
      if (receivedBytes > 0) this.#metrics.count("revoada_transport_received_bytes_total", receivedBytes, labels);
    }
  }

  #add(slot: Slot, sum: Traffic): void {
    const { sentBytes, receivedBytes } = slot;
    const before = this.#told.get(slot) ?? { sentBytes: 0, receivedBytes: 0 };
    this.#told.set(slot, { sentBytes, receivedBytes });
    sum.connections += slot.live === undefined ? 0 : 1;
    sum.queuedBytes += slot.queuedBytes;
    sum.sentBytes += sentBytes - before.sentBytes;
    sum.receivedBytes += receivedBytes - before.receivedBytes;
  }
}
