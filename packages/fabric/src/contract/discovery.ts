/**
 * What every `Discovery` must do.
 *
 * @example
 * ```ts
 * for (const { name, run } of discoveryContract(() => makeFixture())) test(name, run);
 * ```
 *
 * @packageDocumentation
 */
import type { AddressHint, Discovery } from "../seams/discovery.ts";
import { check, type ContractCase, contractCases, type ContractTime, equal } from "./case.ts";

export { type ContractCase, type ContractTime, ContractViolation, realTime, virtualTime } from "./case.ts";

/** A source that was not started, in surroundings where there is somebody to be found from the beginning. */
export interface DiscoveryFixture extends AsyncDisposable {
  readonly time: ContractTime;
  readonly source: Discovery;
  /** What the source is to find: one of its hints has this id, or none where it is absent, and all of these addresses. */
  readonly expected: Pick<AddressHint, "id" | "addresses">;
}

type Body = (fixture: DiscoveryFixture) => Promise<void>;

const usable = /^(?:\[[0-9a-fA-F:.]+(?:%[\w.-]+)?\]|[\w.-]+):\d{1,5}$/;

/** A stream that is read in the background. */
class Reading {
  readonly hints: AddressHint[] = [];
  readonly controller: AbortController = new AbortController();
  isOver = false;

  constructor(source: Discovery) {
    this.#read(source).catch(() => {});
  }

  async #read(source: Discovery): Promise<void> {
    for await (const hint of source.hints({ signal: this.controller.signal })) this.hints.push(hint);
    this.isOver = true;
  }
}

function isExpected({ id, addresses }: AddressHint, expected: DiscoveryFixture["expected"]): boolean {
  return id === expected.id && expected.addresses.every((address) => addresses.includes(address));
}

async function untilFound(reading: Reading, { time, expected }: DiscoveryFixture): Promise<void> {
  await time.until(() => reading.hints.some((hint) => isExpected(hint, expected)));
}

const cases: Readonly<Record<string, Body>> = {
  "what is there is found, with a source and with addresses of host and port": async (fixture) => {
    const reading = new Reading(fixture.source);
    await fixture.time.run(fixture.source.start());
    await untilFound(reading, fixture);
    for (const { source, addresses } of reading.hints) {
      check(source.length > 0, "a hint has no source");
      check(addresses.length > 0, "a hint has no address");
      for (const address of addresses) check(usable.test(address), `${address} is not host:port`);
    }
    check(fixture.source.name.length > 0, "the source has no name");
  },

  "a stream that begins late gets what was found before": async (fixture) => {
    const early = new Reading(fixture.source);
    await fixture.time.run(fixture.source.start());
    await untilFound(early, fixture);
    const late = new Reading(fixture.source);
    await untilFound(late, fixture);
  },

  "a stream ends when its signal aborts, and another goes on": async (fixture) => {
    const { source, time } = fixture;
    const [first, second] = [new Reading(source), new Reading(source)];
    await time.run(source.start());
    await untilFound(first, fixture);
    first.controller.abort();
    await time.until(() => first.isOver);
    await untilFound(second, fixture);
    check(!second.isOver, "the other stream ended too");
  },

  "a stream whose signal has aborted gives nothing": async ({ source, time }) => {
    const controller = new AbortController();
    controller.abort();
    const iterator = source.hints({ signal: controller.signal })[Symbol.asyncIterator]();
    equal((await time.run(iterator.next())).done, true, "whether the stream is over");
  },

  "a second start does nothing": async (fixture) => {
    await fixture.time.run(fixture.source.start());
    await fixture.time.run(fixture.source.start());
    await untilFound(new Reading(fixture.source), fixture);
  },

  "shutting down ends the streams that are open and those that come, and may be done again": async (fixture) => {
    const { source, time } = fixture;
    const open = new Reading(source);
    await time.run(source.start());
    await untilFound(open, fixture);
    await time.run(source.shutdown());
    await time.until(() => open.isOver);
    const later = new Reading(source);
    await time.until(() => later.isOver);
    await time.run(source.shutdown());
    await time.run(Promise.resolve(source[Symbol.asyncDispose]()));
  },

  "a source that was never started shuts down all the same": async ({ source, time }) => {
    await time.run(source.shutdown());
  },
};

/** The cases, each over a fixture of its own. */
export function discoveryContract(create: () => Promise<DiscoveryFixture>): readonly ContractCase[] {
  return contractCases(create, cases);
}
