import type { HardState, LogEntry, LogStore } from "../../seams/log-store.ts";
import { bytesOf, check, equal } from "../case.ts";
import { at, type Body, entries, entry, expectLog, inTerm, opened, plenty, reopened } from "./kit.ts";

/** Reading and writing entries and the hard state. */
export const entryCases: Readonly<Record<string, Body>> = {
  "an empty store opens at the beginning of everything": async (fixture) => {
    const recovered = await fixture.time.run(fixture.store().open());
    equal(recovered.hardState.term, 0, "the term");
    equal(recovered.hardState.vote, undefined, "the vote");
    equal(recovered.hardState.commitIndex, 0, "the commit index");
    equal(recovered.base.index, 0, "the base's index");
    equal(recovered.base.term, 0, "the base's term");
    equal(recovered.base.configuration, undefined, "the base's configuration");
    equal(recovered.lastIndex, 0, "the last index");
    equal(recovered.integrity, "ok", "integrity");
    check(/^[0-9a-f]{32}$/.test(recovered.storeId), `the store id is ${recovered.storeId}`);
  },

  "a medium keeps its store id": async (fixture) => {
    const store = fixture.store();
    const first = await fixture.time.run(store.open());
    await fixture.time.run(store.append({ entries: entries(1, 3, 1) }));
    const { recovered } = await reopened(fixture, store);
    equal(recovered.storeId, first.storeId, "the store id");
  },

  "an empty store knows the term before the log and no other": async (fixture) => {
    const store = await opened(fixture);
    await expectLog(fixture, store, { index: 0, term: 0 }, []);
  },

  "entries are read back as they were appended: indexes, terms, kinds and bytes": async (fixture) => {
    const store = await opened(fixture);
    const written: readonly LogEntry[] = [
      { ...entry(1, 1, new Uint8Array()), kind: "noop" },
      { ...entry(2, 1, bytesOf("a configuration")), kind: "configuration" },
      entry(
        3,
        2,
        Uint8Array.from({ length: 256 }, (_, byte) => byte),
      ),
      entry(4, 5, new Uint8Array(100_000).fill(7)),
    ];
    await fixture.time.run(store.append({ entries: written.slice(0, 2) }));
    await fixture.time.run(store.append({ entries: written.slice(2) }));
    await expectLog(fixture, store, { index: 0, term: 0 }, written);
    const again = await reopened(fixture, store);
    equal(again.recovered.lastIndex, 4, "the last index");
    await expectLog(fixture, again.store, { index: 0, term: 0 }, written);
  },

  "a read begins at from and ends before to": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 10, 1) }));
    const indexes = async (from: number, to: number): Promise<readonly number[]> =>
      (await fixture.time.run(store.read(at(from), at(to), plenty))).map(({ index }) => index);
    equal(await indexes(3, 6), [3, 4, 5], "from 3 to 6");
    equal(await indexes(10, 11), [10], "the last one");
    equal(await indexes(5, 5), [], "nothing");
  },

  "a read stops before maxBytes would be passed, and gives at least one entry": async (fixture) => {
    const store = await opened(fixture);
    const sized = [1, 2, 3, 4].map((index) => entry(index, 1, new Uint8Array(1000)));
    await fixture.time.run(store.append({ entries: sized }));
    const counts = async (from: LogStore): Promise<readonly number[]> => {
      const found: number[] = [];
      for (const maxBytes of [1, 1999, 2000, 1_000_000]) {
        found.push((await fixture.time.run(from.read(at(1), at(5), maxBytes))).length);
      }
      return found;
    };
    equal(await counts(store), [1, 1, 2, 4], "entries within 1, 1,999, 2,000 and 1,000,000 bytes");
    equal(await counts((await reopened(fixture, store)).store), [1, 1, 2, 4], "the same after opening anew");
  },

  "many entries over several appends, with payloads up to 1 MiB, are all there": async (fixture) => {
    const store = await opened(fixture);
    const written: LogEntry[] = [];
    for (let index = 1; index <= 300; index += 1) {
      const length = index % 100 === 0 ? 1024 * 1024 : (index * 37) % 2000;
      written.push(entry(index, 1 + Math.floor(index / 50), new Uint8Array(length).fill(index)));
    }
    for (let first = 0; first < written.length; first += 7) {
      await fixture.time.run(store.append({ entries: written.slice(first, first + 7) }));
    }
    await expectLog(fixture, store, { index: 0, term: 0 }, written);
    await expectLog(fixture, (await reopened(fixture, store)).store, { index: 0, term: 0 }, written);
  },

  "the last hard state holds, with or without entries beside it": async (fixture) => {
    const store = await opened(fixture);
    const states = [
      { term: inTerm(1), vote: "b".repeat(64), commitIndex: at(0) },
      { term: inTerm(2), vote: "c".repeat(64), commitIndex: at(1) },
      { term: inTerm(3), commitIndex: at(2) },
    ];
    await fixture.time.run(store.append({ hardState: states[0] as HardState, entries: [] }));
    const first = await reopened(fixture, store);
    equal(first.recovered.hardState, states[0], "the first");
    const next = first.store;
    await fixture.time.run(next.append({ hardState: states[1] as HardState, entries: entries(1, 2, 2) }));
    await fixture.time.run(next.append({ entries: entries(3, 3, 2) }));
    const second = await reopened(fixture, next);
    equal(second.recovered.hardState, states[1], "the second");
    await fixture.time.run(second.store.append({ hardState: states[2] as HardState, entries: [] }));
    const third = await reopened(fixture, second.store);
    equal(third.recovered.hardState.vote, undefined, "a vote that was not repeated in the new term");
    equal(third.recovered.hardState.term, 3, "the third term");
    equal(third.recovered.lastIndex, 3, "the last index");
  },

  "truncateFrom drops an entry and all after it, and the batch's own entries take their place": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 10, 1) }));
    await fixture.time.run(store.append({ truncateFrom: at(6), entries: entries(6, 7, 3) }));
    const expected = [...entries(1, 5, 1), ...entries(6, 7, 3)];
    await expectLog(fixture, store, { index: 0, term: 0 }, expected);
    const again = await reopened(fixture, store);
    equal(again.recovered.lastIndex, 7, "the last index");
    await expectLog(fixture, again.store, { index: 0, term: 0 }, expected);
  },

  "truncateFrom without entries shortens the log, down to nothing": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 5, 1) }));
    await fixture.time.run(store.append({ truncateFrom: at(4), entries: [] }));
    await expectLog(fixture, store, { index: 0, term: 0 }, entries(1, 3, 1));
    await fixture.time.run(store.append({ truncateFrom: at(1), entries: [] }));
    await expectLog(fixture, store, { index: 0, term: 0 }, []);
    const again = await reopened(fixture, store);
    equal(again.recovered.lastIndex, 0, "the last index");
    await fixture.time.run(again.store.append({ entries: entries(1, 2, 4) }));
    await expectLog(fixture, again.store, { index: 0, term: 0 }, entries(1, 2, 4));
  },

  "truncateFrom behind the last entry cuts nothing": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 3, 1) }));
    await fixture.time.run(store.append({ truncateFrom: at(4), entries: entries(4, 5, 2) }));
    await fixture.time.run(store.append({ truncateFrom: at(9), entries: [] }));
    const expected = [...entries(1, 3, 1), ...entries(4, 5, 2)];
    await expectLog(fixture, store, { index: 0, term: 0 }, expected);
    await expectLog(fixture, (await reopened(fixture, store)).store, { index: 0, term: 0 }, expected);
  },

  "a vote outlives truncations and appends that bring none": async (fixture) => {
    const store = await opened(fixture);
    const hardState = { term: inTerm(3), vote: "b".repeat(64), commitIndex: at(2) };
    await fixture.time.run(store.append({ hardState, entries: entries(1, 5, 3) }));
    await fixture.time.run(store.append({ truncateFrom: at(3), entries: [] }));
    await fixture.time.run(store.append({ entries: entries(3, 4, 3) }));
    const { recovered } = await reopened(fixture, store);
    equal(recovered.hardState, hardState, "the hard state");
    equal(recovered.lastIndex, 4, "the last index");
  },

  "configurations that are told at opening are those that are held": async (fixture) => {
    const configuration = (index: number, term: number): LogEntry => ({ ...entry(index, term), kind: "configuration" });
    const store = await opened(fixture);
    const first = [configuration(1, 1), entry(2, 1), configuration(3, 1), entry(4, 1), configuration(5, 1)];
    await fixture.time.run(store.append({ entries: first }));
    await fixture.time.run(store.append({ truncateFrom: at(5), entries: [entry(5, 2), configuration(6, 2)] }));
    const { store: again, recovered } = await reopened(fixture, store);
    if (recovered.configurations !== undefined) equal([...recovered.configurations], [1, 3, 6], "the configurations");
    await fixture.time.run(again.compact({ index: at(3), term: inTerm(1) }));
    const after = (await reopened(fixture, again)).recovered;
    if (after.configurations !== undefined) equal([...after.configurations], [6], "the configurations behind the base");
  },

  "truncating again and again leaves what was written last": async (fixture) => {
    const store = await opened(fixture);
    for (let term = 1; term <= 30; term += 1) {
      await fixture.time.run(store.append({ truncateFrom: at(term), entries: entries(term, term + 5, term) }));
    }
    const expected = [...Array.from({ length: 29 }, (_, index) => entry(index + 1, index + 1)), ...entries(30, 35, 30)];
    await expectLog(fixture, store, { index: 0, term: 0 }, expected);
    await expectLog(fixture, (await reopened(fixture, store)).store, { index: 0, term: 0 }, expected);
  },

  "overlapping appends are kept in the order of their calls": async (fixture) => {
    const store = await opened(fixture);
    const appends = Array.from({ length: 50 }, (_, index) =>
      store.append({ entries: entries(index * 2 + 1, index * 2 + 2, 1) }),
    );
    await fixture.time.run(Promise.all(appends));
    await expectLog(fixture, store, { index: 0, term: 0 }, entries(1, 100, 1));
    await expectLog(fixture, (await reopened(fixture, store)).store, { index: 0, term: 0 }, entries(1, 100, 1));
  },

  "closing twice and disposing after closing is no error": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 1, 1) }));
    await fixture.time.run(store.close());
    await fixture.time.run(store.close());
    await fixture.time.run(Promise.resolve(store[Symbol.asyncDispose]()));
    await expectLog(fixture, await opened(fixture), { index: 0, term: 0 }, entries(1, 1, 1));
  },
};
