import {
  isFabricError,
  parseFence,
  type CatalogOperation,
  type CatalogTransaction,
  type Compare,
} from "@revoada/fabric";
import { compareBytes, inRange } from "./bytes.ts";
import { catalogLimits, keyFault, rangeFault } from "./limits.ts";
import type { Refusal } from "./result.ts";

function tooLarge(message: string): Refusal {
  return { code: "CATALOG_TOO_LARGE", message };
}

function invalid(message: string): Refusal {
  return { code: "CATALOG_INVALID_TRANSACTION", message };
}

/** True where the transaction can change something. */
export function writes(transaction: CatalogTransaction): boolean {
  return [...transaction.then, ...transaction.else].some((operation) => operation.type !== "get");
}

function faultOf(fault: "empty" | "too long" | undefined, length: number): Refusal | undefined {
  if (fault === undefined) return undefined;
  if (fault === "empty") return invalid("a key is empty");
  return tooLarge(`a key of ${length} bytes is longer than ${catalogLimits.keyBytes}, zero bytes counting twice`);
}

function isLeaseId(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}

/** A fence that could not be granted to anybody would be read back from the log as no command. */
function checkFence({ fence }: CatalogTransaction): Refusal | undefined {
  if (fence === undefined) return undefined;
  try {
    parseFence(fence);
    return undefined;
  } catch (error) {
    if (!isFabricError(error)) throw error;
    return invalid(error.message);
  }
}

function checkOperation(operation: CatalogOperation): Refusal | undefined {
  const { key } = operation;
  if (operation.type !== "put") {
    return faultOf(rangeFault(key, operation.end), Math.max(key.length, operation.end?.length ?? 0));
  }
  if (operation.lease !== undefined && !isLeaseId(operation.lease)) return invalid("a lease is no whole number from 1");
  if (operation.value.length > catalogLimits.valueBytes) {
    return tooLarge(`a value of ${operation.value.length} bytes is larger than ${catalogLimits.valueBytes}`);
  }
  return faultOf(keyFault(key), key.length);
}

function sizeOf(item: Compare | CatalogOperation): number {
  if ("target" in item) return item.key.length + (item.target === "value" ? item.value.length : 8);
  if (item.type === "put") return item.key.length + item.value.length;
  return item.key.length + (item.end?.length ?? 0);
}

/** A key may be put once, and not where it is deleted too: the order of operations would then decide. */
function checkDuplicates(operations: readonly CatalogOperation[]): Refusal | undefined {
  const puts = operations
    .filter((one) => one.type === "put")
    .map((one) => one.key)
    .toSorted(compareBytes);
  for (let index = 1; index < puts.length; index++) {
    if (compareBytes(puts[index - 1] as Uint8Array, puts[index] as Uint8Array) === 0)
      return invalid("a key is put twice");
  }
  for (const one of operations) {
    if (one.type !== "delete") continue;
    const range = { start: one.key, end: one.end };
    // The first put at or behind the start is in the range if any is.
    let low = 0;
    let high = puts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(puts[middle] as Uint8Array, one.key) < 0) low = middle + 1;
      else high = middle;
    }
    const next = puts[low];
    if (next !== undefined && inRange(next, range)) return invalid("a key is put and deleted");
  }
  return undefined;
}

/** What forbids a transaction whatever the state, or undefined: the same answer before it is proposed and when it is applied. */
export function checkTransaction(transaction: CatalogTransaction): Refusal | undefined {
  const { compare, then, else: otherwise } = transaction;
  for (const list of [compare, then, otherwise]) {
    if (list.length > catalogLimits.operations) {
      return tooLarge(`${list.length} operations are more than ${catalogLimits.operations}`);
    }
  }
  let bytes = 0;
  for (const item of [...compare, ...then, ...otherwise]) bytes += sizeOf(item);
  for (const one of compare) {
    const fault = faultOf(keyFault(one.key), one.key.length);
    if (fault !== undefined) return fault;
  }
  for (const operation of [...then, ...otherwise]) {
    const fault = checkOperation(operation);
    if (fault !== undefined) return fault;
  }
  if (bytes > catalogLimits.transactionBytes) {
    return tooLarge(`a transaction of ${bytes} bytes is larger than ${catalogLimits.transactionBytes}`);
  }
  return checkFence(transaction) ?? checkDuplicates(then) ?? checkDuplicates(otherwise);
}
