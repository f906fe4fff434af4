import type { LogStore } from "../../seams/log-store.ts";
import { check, equal, rejects, started } from "../case.ts";
import { afterCrash, at, type Body, entries, expectLog, inTerm, opened, plenty } from "./kit.ts";

/** Appends batches of five entries without waiting, and counts how many of them were acknowledged in order. */
function flood(store: LogStore, batches: number): () => number {
  let acknowledged = 0;
  for (let batch = 0; batch < batches; batch += 1) {
    const append = store.append({
      hardState: { term: inTerm(batch + 1), commitIndex: at(0) },
      entries: entries(batch * 5 + 1, batch * 5 + 5, batch + 1),
    });
    void started(append.then(() => void (acknowledged = Math.max(acknowledged, batch + 1))));
  }
  return () => acknowledged;
}

/** What a crash may and may not take. */
export const durabilityCases: Readonly<Record<string, Body>> = {
  "what append has acknowledged survives a crash": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 5, 1) }));
    await fixture.time.run(store.append({ truncateFrom: at(4), entries: entries(4, 9, 2) }));
    const { store: again, recovered } = await afterCrash(fixture);
    equal(recovered.lastIndex, 9, "the last index");
    await expectLog(fixture, again, { index: 0, term: 0 }, [...entries(1, 3, 1), ...entries(4, 9, 2)]);
  },

  "a vote survives a crash together with its term": async (fixture) => {
    const store = await opened(fixture);
    for (const term of [1, 2, 3]) {
      const hardState = { term: inTerm(term), vote: String(term).repeat(64), commitIndex: at(0) };
      await fixture.time.run(store.append({ hardState, entries: [] }));
    }
    const { recovered } = await afterCrash(fixture);
    equal(recovered.hardState, { term: inTerm(3), vote: "3".repeat(64), commitIndex: at(0) }, "the hard state");
  },

  "a batch that a crash meets is there whole or not at all, and none before it is missing": async (fixture) => {
    const store = await opened(fixture);
    const acknowledged = flood(store, 20);
    await fixture.time.until(() => acknowledged() > 0);
    const atLeast = acknowledged();
    const { store: again, recovered } = await afterCrash(fixture);
    equal(recovered.lastIndex % 5, 0, "entries of a batch that are there without the others");
    const batches = recovered.lastIndex / 5;
    check(batches >= atLeast, `${batches} batches are there, ${atLeast} were acknowledged`);
    equal(recovered.hardState.term, batches, "the term of the last whole batch");
    const expected = Array.from({ length: batches }, (_, batch) => entries(batch * 5 + 1, batch * 5 + 5, batch + 1));
    await expectLog(fixture, again, { index: 0, term: 0 }, expected.flat());
  },

  "nothing that was never acknowledged has to be there, and the log goes on after it": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 3, 1) }));
    void started(store.append({ entries: entries(4, 6, 1) }));
    const { store: again, recovered } = await afterCrash(fixture);
    check(recovered.lastIndex === 3 || recovered.lastIndex === 6, `the last index is ${recovered.lastIndex}`);
    await fixture.time.run(again.append({ truncateFrom: at(4), entries: entries(4, 8, 2) }));
    const last = await afterCrash(fixture);
    await expectLog(fixture, last.store, { index: 0, term: 0 }, [...entries(1, 3, 1), ...entries(4, 8, 2)]);
  },

  "a crash after a truncation does not bring the old entries back": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 100, 1) }));
    await fixture.time.run(store.append({ truncateFrom: at(50), entries: entries(50, 50, 2) }));
    const first = await afterCrash(fixture);
    equal(first.recovered.lastIndex, 50, "the last index");
    await fixture.time.run(first.store.append({ entries: entries(51, 60, 2) }));
    const second = await afterCrash(fixture);
    await expectLog(fixture, second.store, { index: 0, term: 0 }, [...entries(1, 49, 1), ...entries(50, 60, 2)]);
  },

  "a finished compaction and what was appended after it survive a crash": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 20, 1) }));
    await fixture.time.run(store.compact({ index: at(15), term: inTerm(1) }));
    await fixture.time.run(store.append({ entries: entries(21, 22, 2) }));
    const { store: again, recovered } = await afterCrash(fixture);
    equal(recovered.base.index, 15, "the base's index");
    await expectLog(fixture, again, { index: 15, term: 1 }, [...entries(16, 20, 1), ...entries(21, 22, 2)]);
  },

  "a compaction that a crash interrupts has happened or has not": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 20, 1) }));
    void started(store.compact({ index: at(15), term: inTerm(1) }));
    const { store: again, recovered } = await afterCrash(fixture);
    const base = recovered.base.index;
    check(base === 0 || base === 15, `the base's index is ${base}`);
    await expectLog(fixture, again, { index: base, term: base === 0 ? 0 : 1 }, entries(base + 1, 20, 1));
  },

  "a finished reset survives a crash, and what it replaced stays away": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 40, 1) }));
    const hardState = { term: inTerm(6), vote: "f".repeat(64), commitIndex: at(30) };
    await fixture.time.run(store.reset({ index: at(30), term: inTerm(5) }, hardState));
    const { store: again, recovered } = await afterCrash(fixture);
    equal(recovered.hardState, hardState, "the hard state");
    equal(recovered.lastIndex, 30, "the last index");
    await expectLog(fixture, again, { index: 30, term: 5 }, []);
  },

  "a reset that a crash interrupts has happened or has not": async (fixture) => {
    const store = await opened(fixture);
    const before = { term: inTerm(1), vote: "a".repeat(64), commitIndex: at(10) };
    const after = { term: inTerm(9), commitIndex: at(99) };
    await fixture.time.run(store.append({ hardState: before, entries: entries(1, 10, 1) }));
    void started(store.reset({ index: at(99), term: inTerm(8) }, after));
    const { store: again, recovered } = await afterCrash(fixture);
    if (recovered.base.index === 99) {
      equal(recovered.hardState, after, "the new hard state");
      await expectLog(fixture, again, { index: 99, term: 8 }, []);
    } else {
      equal(recovered.hardState, before, "the old hard state");
      await expectLog(fixture, again, { index: 0, term: 0 }, entries(1, 10, 1));
    }
  },

  "opening writes nothing that a second crash could turn against the log": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 10, 1) }));
    void started(store.append({ entries: entries(11, 15, 1) }));
    for (let round = 0; round < 3; round += 1) {
      const { store: again } = await afterCrash(fixture);
      const found = await fixture.time.run(again.read(at(1), at(11), plenty));
      equal(found.length, 10, `entries after crash ${round + 1}`);
    }
  },

  "a failed sync rejects with LOG_FAILED, and so does every append until the store is opened anew": async (fixture) => {
    // A medium that cannot be made to fail has nothing to show here.
    if (fixture.failNextSync === undefined) return;
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 5, 1) }));
    fixture.failNextSync();
    await rejects(
      fixture.time.run(store.append({ entries: entries(6, 6, 1) })),
      ["LOG_FAILED"],
      "the append that failed",
    );
    await rejects(fixture.time.run(store.append({ entries: entries(7, 7, 1) })), ["LOG_FAILED"], "the next append");
    const { store: again, recovered } = await afterCrash(fixture);
    check(recovered.lastIndex === 5 || recovered.lastIndex === 6, `the last index is ${recovered.lastIndex}`);
    const next = recovered.lastIndex + 1;
    await fixture.time.run(again.append({ entries: entries(next, next, 2) }));
  },
};
