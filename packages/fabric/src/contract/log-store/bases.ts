import type { Generation, NodeId, StoreId } from "../../ids.ts";
import type { Configuration } from "../../seams/consensus.ts";
import { equal } from "../case.ts";
import { at, type Body, entries, expectLog, inTerm, opened, reopened } from "./kit.ts";

const configuration: Configuration = {
  voters: ["1", "2", "3"].map((digit) => ({
    id: digit.repeat(64) as NodeId,
    storeId: digit.repeat(32) as StoreId,
  })),
  learners: [{ id: "4".repeat(64) as NodeId, storeId: "4".repeat(32) as StoreId }],
  generation: 7 as Generation,
};

const joint: Configuration = { ...configuration, outgoing: configuration.voters.slice(0, 1) };

/** Compaction and replacement. */
export const baseCases: Readonly<Record<string, Body>> = {
  "compaction forgets entries up to its base and keeps the rest": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: [...entries(1, 5, 1), ...entries(6, 10, 2)] }));
    await fixture.time.run(store.compact({ index: at(6), term: inTerm(2) }));
    await expectLog(fixture, store, { index: 6, term: 2 }, entries(7, 10, 2));
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.base.index, 6, "the base's index");
    equal(recovered.base.term, 2, "the base's term");
    equal(recovered.lastIndex, 10, "the last index");
    await expectLog(fixture, again, { index: 6, term: 2 }, entries(7, 10, 2));
  },

  "compaction up to the last entry leaves an empty log that goes on from there": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 4, 3) }));
    await fixture.time.run(store.compact({ index: at(4), term: inTerm(3) }));
    await expectLog(fixture, store, { index: 4, term: 3 }, []);
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.lastIndex, 4, "the last index");
    await fixture.time.run(again.append({ entries: entries(5, 6, 4) }));
    await expectLog(fixture, again, { index: 4, term: 3 }, entries(5, 6, 4));
  },

  "compacting step by step keeps what was asked for last": async (fixture) => {
    let store = await opened(fixture);
    for (let round = 0; round < 10; round += 1) {
      await fixture.time.run(store.append({ entries: entries(round * 10 + 1, round * 10 + 10, round + 1) }));
      if (round > 0) await fixture.time.run(store.compact({ index: at(round * 10), term: inTerm(round) }));
      if (round % 3 === 2) ({ store } = await reopened(fixture, store));
    }
    await expectLog(fixture, store, { index: 90, term: 9 }, entries(91, 100, 10));
  },

  "compacting to the base once more changes nothing": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 8, 1) }));
    for (let round = 0; round < 2; round += 1)
      await fixture.time.run(store.compact({ index: at(5), term: inTerm(1), configuration }));
    await expectLog(fixture, store, { index: 5, term: 1 }, entries(6, 8, 1));
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.base, { index: at(5), term: inTerm(1), configuration }, "the base");
    await expectLog(fixture, again, { index: 5, term: 1 }, entries(6, 8, 1));
  },

  "compaction keeps the hard state": async (fixture) => {
    const store = await opened(fixture);
    const hardState = { term: inTerm(4), vote: "d".repeat(64), commitIndex: at(5) };
    await fixture.time.run(store.append({ hardState, entries: entries(1, 5, 4) }));
    await fixture.time.run(store.compact({ index: at(5), term: inTerm(4) }));
    equal((await reopened(fixture, store)).recovered.hardState, hardState, "the hard state");
  },

  "a base's configuration comes back whole, joint ones too": async (fixture) => {
    let store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 5, 1) }));
    for (const [index, expected] of [
      [2, configuration],
      [4, joint],
    ] as const) {
      await fixture.time.run(store.compact({ index: at(index), term: inTerm(1), configuration: expected }));
      const again = await reopened(fixture, store);
      equal(again.recovered.base.configuration, expected, `the configuration of the base ${index}`);
      ({ store } = again);
    }
  },

  "a reset to a base ahead of the log leaves nothing but the base and its hard state": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 5, 1) }));
    const base = { index: at(100), term: inTerm(7), configuration };
    const hardState = { term: inTerm(8), vote: "e".repeat(64), commitIndex: at(100) };
    await fixture.time.run(store.reset(base, hardState));
    await expectLog(fixture, store, { index: 100, term: 7 }, []);
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.base, base, "the base");
    equal(recovered.hardState, hardState, "the hard state");
    equal(recovered.lastIndex, 100, "the last index");
    await fixture.time.run(again.append({ entries: entries(101, 103, 8) }));
    await expectLog(fixture, again, { index: 100, term: 7 }, entries(101, 103, 8));
  },

  "a reset to a base within the log drops the entries after it too": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(store.append({ entries: entries(1, 50, 1) }));
    await fixture.time.run(store.reset({ index: at(10), term: inTerm(2) }, { term: inTerm(3), commitIndex: at(10) }));
    await expectLog(fixture, store, { index: 10, term: 2 }, []);
    await fixture.time.run(store.append({ entries: entries(11, 12, 3) }));
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.lastIndex, 12, "the last index");
    await expectLog(fixture, again, { index: 10, term: 2 }, entries(11, 12, 3));
  },

  "a reset of a fresh store is how a founder writes down the first configuration": async (fixture) => {
    const store = await opened(fixture);
    await fixture.time.run(
      store.reset({ index: at(0), term: inTerm(0), configuration }, { term: inTerm(0), commitIndex: at(0) }),
    );
    const { store: again, recovered } = await reopened(fixture, store);
    equal(recovered.base.configuration, configuration, "the configuration");
    equal(recovered.lastIndex, 0, "the last index");
    await fixture.time.run(again.append({ entries: entries(1, 2, 1) }));
    await expectLog(fixture, again, { index: 0, term: 0 }, entries(1, 2, 1));
  },
};
