// Writes transactions without end and says, a line at a time, up to which one everything has been flushed.
import { writeSync } from "node:fs";
import { lmdbStore } from "@revoada/catalog/lmdb";

const store = await lmdbStore({ directory: process.argv[2] as string, flushBytes: 50_000 });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const counter = text("counter");
const stored = store.get("left", counter);
let count = stored === undefined ? 0 : Number(new TextDecoder().decode(stored));

function write(): void {
  count++;
  store.transact((transaction) => {
    const key = Buffer.alloc(4);
    key.writeUInt32BE(count);
    transaction.put("left", counter, text(String(count)));
    transaction.put("rows", key, new Uint8Array((count * 37) % 3_000));
    transaction.put("right", counter, text(String(count)));
  });
}

for (;;) {
  for (let index = 0; index < 1 + (count % 7); index++) write();
  const promised = count;
  const flushed = store.flush();
  write();
  await flushed;
  writeSync(1, `${promised}\n`);
}
