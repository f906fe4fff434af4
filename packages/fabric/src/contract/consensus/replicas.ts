import type { NodeId, Term } from "../../ids.ts";
import type { Committed, Consensus, ConsensusStatus, ReplicaId } from "../../seams/consensus.ts";
import { bytesOf, check, type ContractTime, ContractViolation, equal } from "../case.ts";
import type { ConsensusFixture } from "../consensus.ts";
import { ListMachine } from "./list-machine.ts";

/** One node's replica in its present life. */
export interface Running {
  readonly member: ReplicaId;
  readonly consensus: Consensus<Uint8Array, Uint8Array>;
  readonly machine: ListMachine;
}

/** A test body over replicas that run. */
export type Body = (replicas: Replicas) => Promise<void>;

/** The replicas of a fixture, and a witness who has seen every leader. */
export class Replicas implements AsyncDisposable {
  readonly fixture: ConsensusFixture;
  readonly time: ContractTime;
  readonly #running = new Map<NodeId, Running>();
  readonly #leaders = new Map<Term, NodeId>();
  #twoLeaders: string | undefined;

  constructor(fixture: ConsensusFixture) {
    this.fixture = fixture;
    this.time = fixture.time;
  }

  get all(): readonly Running[] {
    return [...this.#running.values()];
  }

  async startAll(): Promise<void> {
    const begun = [...this.fixture.voters, this.fixture.spare].map((member) => this.#begin(member, new ListMachine()));
    await this.time.run(Promise.all(begun));
  }

  async start(member: ReplicaId, machine: ListMachine = new ListMachine()): Promise<Running> {
    return this.time.run(this.#begin(member, machine));
  }

  async crash(id: NodeId): Promise<void> {
    this.#running.delete(id);
    await this.fixture.crash(id);
  }

  of(id: NodeId): Running {
    const running = this.#running.get(id);
    if (running === undefined) throw new ContractViolation(`the kit asked for ${id}, which does not run`);
    return running;
  }

  /** Waits for a leader among those that run and satisfy `among`, whom a majority follows. */
  async leader(among: (running: Running) => boolean = () => true): Promise<Running> {
    const find = (): Running | undefined =>
      this.all.find((running) => {
        const { role, quorum } = running.consensus.status();
        return role === "leader" && quorum && among(running);
      });
    await this.time.until(() => find() !== undefined);
    return find() as Running;
  }

  /** The voters of the first configuration that run, without `excepted`. */
  others(excepted: Running): readonly Running[] {
    const voters = new Set(this.fixture.voters.map(({ id }) => id));
    return this.all.filter(({ member }) => voters.has(member.id) && member.id !== excepted.member.id);
  }

  propose(at: Running, command: string): Promise<Committed<Uint8Array>> {
    return this.time.run(at.consensus.propose(bytesOf(command)));
  }

  /** Proposes until it is taken, as a client does who knows that a refusal was definite. */
  async insist(at: () => Promise<Running>, command: string): Promise<Committed<Uint8Array>> {
    for (let attempt = 0; attempt < 20; attempt += 1) {
      try {
        return await this.propose(await at(), command);
      } catch (error) {
        const { code } = error as { readonly code?: string };
        if (code !== "RAFT_NO_QUORUM" && code !== "RAFT_NOT_LEADER" && code !== "RAFT_BACKPRESSURE") throw error;
      }
    }
    throw new ContractViolation(`"${command}" was refused twenty times`);
  }

  /** Waits until each of these machines holds `commands`, and nothing else, in this order. */
  async expectCommands(commands: readonly string[], machines: readonly Running[] = this.voting()): Promise<void> {
    await this.time.until(() => machines.every(({ machine }) => machine.commands.length >= commands.length));
    for (const { machine, member } of machines) {
      equal(machine.commands, commands, `the commands of ${member.id.slice(0, 12)}`);
    }
  }

  /** Those of the first configuration that run. */
  voting(): readonly Running[] {
    const voters = new Set(this.fixture.voters.map(({ id }) => id));
    return this.all.filter(({ member }) => voters.has(member.id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { consensus } of this.all) await this.time.run(consensus.shutdown());
    await this.fixture[Symbol.asyncDispose]();
    // Whatever a case was about: no term may have had two leaders.
    check(this.#twoLeaders === undefined, this.#twoLeaders ?? "");
  }

  async #begin(member: ReplicaId, machine: ListMachine): Promise<Running> {
    const consensus = this.fixture.replica(member.id);
    consensus.onChange((status) => this.#witness(status));
    const running = { member, consensus, machine };
    this.#running.set(member.id, running);
    await consensus.start(machine);
    return running;
  }

  #witness({ id, role, term }: ConsensusStatus): void {
    if (role !== "leader") return;
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== id) this.#twoLeaders = `term ${term} had the leaders ${known} and ${id}`;
    this.#leaders.set(term, id);
  }
}
