import { InvalidValueError } from "@revoada/fabric";

/** Longest key of a store, in bytes. */
const maxStoreKeyBytes = 1_024;
/** Longest name of a tree, in bytes. */
const maxTreeNameBytes = 64;

export function checkStoreKey(key: Uint8Array): void {
  if (key.length === 0 || key.length > maxStoreKeyBytes) {
    throw new InvalidValueError("key", key, `1 to ${maxStoreKeyBytes} bytes`);
  }
}

/** Names are printable ASCII, so that their order is that of their bytes. */
export function checkTreeName(tree: string): void {
  if (!/^[\x21-\x7e]{1,64}$/.test(tree)) {
    throw new InvalidValueError("tree", tree, `1 to ${maxTreeNameBytes} printable ASCII characters`);
  }
}
