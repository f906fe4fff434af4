import { execFileSync } from "node:child_process";

/** Hosts in one network that can be cut in two. */
const sides = ["left", "right"] as const;
export type Side = (typeof sides)[number];

export interface Host {
  /** The network namespace that it is. */
  readonly namespace: string;
  readonly side: Side;
}

/** Why there can be no network of namespaces here; undefined where there can. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return `network namespaces are Linux's, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "network namespaces are made by root alone";
  const trial = `rvt${process.pid}`;
  try {
    ip("netns", "add", trial);
    ip("netns", "del", trial);
    return undefined;
  } catch (error) {
    return `no network namespace can be made: ${String(error)}`;
  }
}

function ip(...words: readonly string[]): void {
  execFileSync("ip", words, { stdio: ["ignore", "pipe", "pipe"], timeout: 10_000 });
}

/**
 * A local network of namespaces: a switch on either side, a cable between the two, and hosts with one address each.
 *
 * All of it lives in namespaces of its own, whose names bear this process's id; nothing of the machine's network is touched.
 */
export class Lan implements Disposable {
  readonly hosts: Host[] = [];
  readonly #name: string = `rv${process.pid}`;
  readonly #made: string[] = [];

  constructor(layout: Readonly<Record<Side, number>>) {
    try {
      for (const side of sides) this.#addSwitch(side);
      ip(
        "-n",
        this.#switch("left"),
        "link",
        "add",
        "cable",
        "type",
        "veth",
        "peer",
        "cable",
        "netns",
        this.#switch("right"),
      );
      for (const side of sides) {
        this.#attach(side, "cable");
        for (let count = 0; count < layout[side]; count += 1) this.#addHost(side);
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Gives a host this address instead of the one that it has. */
  address(host: Host, address: string): void {
    ip("-n", host.namespace, "addr", "flush", "dev", "eth0");
    ip("-n", host.namespace, "addr", "add", `${address}/24`, "dev", "eth0");
    // Without a way for multicast nothing can be asked of everybody.
    ip("-n", host.namespace, "route", "replace", "224.0.0.0/4", "dev", "eth0");
  }

  cut(): void {
    ip("-n", this.#switch("left"), "link", "set", "cable", "down");
  }

  heal(): void {
    ip("-n", this.#switch("left"), "link", "set", "cable", "up");
  }

  [Symbol.dispose](): void {
    for (const namespace of this.#made.splice(0).toReversed()) {
      try {
        ip("netns", "del", namespace);
      } catch (error) {
        process.stderr.write(`the namespace ${namespace} was not removed: ${String(error)}\n`);
      }
    }
  }

  #switch(side: Side): string {
    return `${this.#name}${side}`;
  }

  #add(namespace: string): void {
    ip("netns", "add", namespace);
    this.#made.push(namespace);
    ip("-n", namespace, "link", "set", "lo", "up");
  }

  #addSwitch(side: Side): void {
    this.#add(this.#switch(side));
    ip("-n", this.#switch(side), "link", "add", "hub", "type", "bridge", "mcast_snooping", "0");
    ip("-n", this.#switch(side), "link", "set", "hub", "up");
  }

  #attach(side: Side, link: string): void {
    ip("-n", this.#switch(side), "link", "set", link, "master", "hub");
    ip("-n", this.#switch(side), "link", "set", link, "up");
  }

  #addHost(side: Side): void {
    const number = this.hosts.length + 1;
    const namespace = `${this.#name}h${number}`;
    const link = `port${number}`;
    this.#add(namespace);
    ip("-n", this.#switch(side), "link", "add", link, "type", "veth", "peer", "eth0", "netns", namespace);
    this.#attach(side, link);
    ip("-n", namespace, "link", "set", "eth0", "up");
    this.hosts.push({ namespace, side });
  }
}
