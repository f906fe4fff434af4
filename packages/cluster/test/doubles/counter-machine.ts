import type { ApplyContext, StoreReader, StoreTransaction, SubMachine } from "@revoada/fabric";

const tree = "counter";
const key = new TextEncoder().encode("total");

/** A catalog's place filled by a counter: it adds the command's bytes up, where the mode lets it, and caches the sum. */
export class CounterMachine implements SubMachine {
  readonly name = "counter";
  readonly trees: readonly string[] = [tree];
  total = 0;
  commits = 0;
  restores = 0;
  readonly contexts: ApplyContext[] = [];

  apply(transaction: StoreTransaction, command: Uint8Array, context: ApplyContext): Uint8Array {
    this.contexts.push(context);
    if (!context.writable) return Uint8Array.of(0);
    for (const byte of command) this.total += byte;
    transaction.put(tree, key, Uint8Array.of(this.total >> 8, this.total & 255));
    return Uint8Array.of(1);
  }

  committed(): void {
    this.commits += 1;
  }

  restored(store: StoreReader): void {
    this.restores += 1;
    const [high = 0, low = 0] = store.get(tree, key) ?? [];
    this.total = high * 256 + low;
  }
}
