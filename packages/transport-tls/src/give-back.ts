/** From this size on it pays. Whatever Node cuts out of its pool is smaller. */
const leastBytes = 8 * 1024;

/**
 * Frees the memory of a large read whose bytes are all copied; nobody may look at them any more. Smaller ones, and views into memory of
 * others, are left to the collector.
 *
 * Node takes memory anew for every TLS record. What a collection has not freed yet counts towards V8's limits, so that with a heap of a few
 * megabytes every 16 MiB of input have it marked and compacted, all of it: a pause of milliseconds, for bytes that nobody needs.
 */
export function giveBack(read: Uint8Array): void {
  const { buffer } = read;
  if (read.length < leastBytes || read.length !== buffer.byteLength) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
