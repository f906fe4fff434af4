import { isFabricError } from "@revoada/fabric";
import type { ContractCase } from "@revoada/fabric/contract/transport";
import { expect } from "vitest";

/** An object whose methods are replaced by those of `patch`; everything else goes to the original. */
export function patched<T extends object>(original: T, patch: Partial<T>): T {
  return new Proxy(original, {
    get(target, property) {
      const source = Object.hasOwn(patch, property) ? patch : target;
      const value: unknown = Reflect.get(source, property, source);
      return typeof value === "function" && source === target ? value.bind(target) : value;
    },
  });
}

/** Names of the cases that an implementation does not pass. */
async function failuresOf(cases: readonly ContractCase[]): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const { name, run } of cases) {
    try {
      await run();
    } catch (error) {
      // A kit may also give up waiting: virtual time says so in its own words.
      if (!isFabricError(error)) throw new Error(`"${name}" broke instead of failing`, { cause: error });
      failed.push(name);
    }
  }
  return failed;
}

/** Expects that each of these cases, found by a part of its name, is among the failed. */
export async function expectFailures(cases: readonly ContractCase[], parts: readonly string[]): Promise<void> {
  const unknown = parts.filter((part) => !cases.some(({ name }) => name.includes(part)));
  expect(unknown, "cases that the kit does not have").toEqual([]);
  const failed = await failuresOf(cases.filter(({ name }) => parts.some((part) => name.includes(part))));
  const missed = parts.filter((part) => !failed.some((name) => name.includes(part)));
  expect(missed, "cases that the broken implementation passes").toEqual([]);
}
