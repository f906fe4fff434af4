import type { LogIndex, Term } from "../../ids.ts";
import type {
  AppliedEntry,
  Configuration,
  MachinePosition,
  MachineSnapshot,
  StateMachine,
} from "../../seams/consensus.ts";
import { bytesOf, collect, concatenated, ContractViolation, streamOf, textOf } from "../case.ts";

/** A command that a machine with {@link ListMachine.isFragile} cannot bear. */
export const poison = "poison";

/** Keeps every command in order, and is strict about what it is given. */
export class ListMachine implements StateMachine<Uint8Array, Uint8Array> {
  readonly durable: boolean = false;
  readonly isFragile: boolean;
  commands: string[] = [];
  #index = 0;
  #term = 0;
  #configuration: Configuration | undefined;

  constructor(options: { readonly isFragile?: boolean } = {}) {
    this.isFragile = options.isFragile ?? false;
  }

  position(): MachinePosition {
    return {
      index: this.#index as LogIndex,
      term: this.#term as Term,
      ...(this.#configuration === undefined ? {} : { configuration: this.#configuration }),
    };
  }

  flushedIndex(): LogIndex {
    return 0 as LogIndex;
  }

  async flush(): Promise<void> {}

  apply(entries: readonly AppliedEntry<Uint8Array>[]): readonly (Uint8Array | undefined)[] {
    return entries.map((entry) => this.#applyOne(entry));
  }

  async snapshot(): Promise<MachineSnapshot> {
    const position = this.position();
    const bytes = bytesOf(JSON.stringify(this.commands));
    return { position, chunks: () => streamOf([bytes]), dispose() {} };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const commands = JSON.parse(textOf(concatenated(await collect(chunks)))) as string[];
    this.commands = commands;
    this.#index = position.index;
    this.#term = position.term;
    this.#configuration = position.configuration;
  }

  #applyOne(entry: AppliedEntry<Uint8Array>): Uint8Array | undefined {
    if (entry.index !== this.#index + 1) {
      throw new ContractViolation(`entry ${entry.index} was applied after entry ${this.#index}`);
    }
    if (entry.term < this.#term) throw new ContractViolation(`term ${entry.term} was applied after term ${this.#term}`);
    if (this.isFragile && entry.kind === "command" && textOf(entry.command) === poison) {
      throw new Error("this machine cannot bear it");
    }
    this.#index = entry.index;
    this.#term = entry.term;
    if (entry.kind === "configuration") this.#configuration = entry.configuration;
    if (entry.kind !== "command") return undefined;
    this.commands.push(textOf(entry.command));
    return bytesOf(`${this.commands.length}: ${this.commands.at(-1)}`);
  }
}
