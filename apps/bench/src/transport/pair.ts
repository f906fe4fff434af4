import type { LoadResult } from "../load.ts";
import { Worker } from "../processes.ts";
import type { Program } from "../turns.ts";
import type { BulkResult, Order, PaceResult, Place, ProgramName } from "./orders.ts";

const script = new URL("./member.ts", import.meta.url);

/** A process that takes orders of this suite. */
export class Member implements AsyncDisposable {
  readonly worker: Worker;

  constructor(nodeArguments: readonly string[] = []) {
    this.worker = new Worker(script, nodeArguments);
  }

  tell<Answer>(order: Order): Promise<Answer> {
    return this.worker.ask(order) as Promise<Answer>;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.worker[Symbol.asyncDispose]();
  }
}

/** One program in two processes: a server, and a client that asks it. */
export class Pair implements AsyncDisposable {
  readonly name: ProgramName;
  readonly server: Member;
  readonly client: Member;
  readonly place: Place;

  private constructor(name: ProgramName, server: Member, client: Member, place: Place) {
    this.name = name;
    this.server = server;
    this.client = client;
    this.place = place;
  }

  /** `others` may speak to the server as well. */
  static async open(name: ProgramName, others: readonly Place[] = []): Promise<Pair> {
    const members = [new Member(), new Member()] as const;
    try {
      const [server, client] = members;
      const seedOf = (byte: number): Uint8Array => new Uint8Array(32).fill(byte);
      const place = await server.tell<Place>({ type: "open", program: name, seed: seedOf(1) });
      const from = await client.tell<Place>({ type: "open", program: name, seed: seedOf(2) });
      await server.tell({ type: "meet", peers: [from, ...others] });
      await client.tell({ type: "meet", peers: [place] });
      return new Pair(name, server, client, place);
    } catch (error) {
      for (const member of members) await member[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** As one of the programs that take turns. */
  program(): Program {
    return {
      name: this.name,
      members: () => Promise.resolve([this.server.worker]),
      caller: this.client.worker,
      load: (options) => this.client.tell<LoadResult>({ type: "load", options }),
    };
  }

  bulk(messageBytes: number, forMs: number): Promise<BulkResult> {
    return this.client.tell({ type: "bulk", messageBytes, forMs });
  }

  pace(everyMs: number, forMs: number): Promise<PaceResult> {
    return this.client.tell({ type: "pace", everyMs, forMs, payloadBytes: 256 });
  }

  /** CPU seconds of both processes together. */
  get cpuSeconds(): number {
    return this.server.worker.cpuSeconds + this.client.worker.cpuSeconds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.server[Symbol.asyncDispose](), this.client[Symbol.asyncDispose]()]);
  }
}
