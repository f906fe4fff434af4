/**
 * What every `LogStore` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of logStoreContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { LogStore } from "../seams/log-store.ts";
import { type ContractCase, contractCases, type ContractTime, ContractViolation } from "./case.ts";
import { baseCases } from "./log-store/bases.ts";
import { durabilityCases } from "./log-store/durability.ts";
import { entryCases } from "./log-store/entries.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** One medium, empty at first, and stores over it. Disposing of the fixture closes what is open and frees the medium. */
export interface LogStoreFixture extends AsyncDisposable {
  readonly time: ContractTime;
  /** A store over the medium that has not been opened. One at a time is used. */
  store(): LogStore;
  /** Cuts the power: the store in use is dead, and whatever it had not made durable is gone from the medium. */
  crash(): Promise<void>;
  /** Makes the next sync of the medium fail. Absent where the medium cannot be told to. */
  readonly failNextSync?: () => void;
}

/** The cases, each over a fixture of its own. */
export function logStoreContract(create: () => Promise<LogStoreFixture>): readonly ContractCase[] {
  const distinct: ContractCase = {
    name: "two media have two store ids",
    async run() {
      await using one = await create();
      await using other = await create();
      const first = await one.time.run(one.store().open());
      const second = await other.time.run(other.store().open());
      if (first.storeId === second.storeId) throw new ContractViolation("both have the same store id");
    },
  };
  return [...contractCases(create, { ...entryCases, ...baseCases, ...durabilityCases }), distinct];
}
