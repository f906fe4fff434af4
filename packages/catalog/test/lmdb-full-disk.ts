// Fills a store until the file may not grow any more, and says what happened, a line at a time.
import { writeSync } from "node:fs";
import { lmdbStore } from "@revoada/catalog/lmdb";

const store = await lmdbStore({ directory: process.argv[2] as string, flushBytes: 1_000_000_000 });
const say = (line: string): void => void writeSync(1, `${line}\n`);

for (let round = 0; ; round++) {
  store.transact((transaction) => {
    for (let index = 0; index < 100; index++) {
      transaction.put("rows", Buffer.from(`${round}/${index}`), new Uint8Array(1_000).fill(round));
    }
  });
  try {
    await store.flush();
    say(`flushed ${round}`);
  } catch (error) {
    const { code, retryable, message } = error as { code: string; retryable: boolean; message: string };
    say(`failed ${code} ${retryable} ${message}`);
    say(`readable ${[...store.range("rows")].length}`);
    try {
      store.transact(() => {});
    } catch (refusal) {
      say(`transact ${(refusal as { code: string }).code}`);
    }
    const again = await store.flush().then(
      () => "flushed",
      (reason: { code: string }) => reason.code,
    );
    say(`again ${again}`);
    await store.close().catch((reason: { code: string }) => say(`closed ${reason.code}`));
    break;
  }
}
