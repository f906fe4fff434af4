import { HintFeed, type AddressHint, type NodeId } from "@revoada/fabric";
import { describe, expect, test } from "vitest";

const id = (letter: string): NodeId => letter.repeat(64) as NodeId;
const hint = (letter: string, ...addresses: string[]): AddressHint => ({ source: "test", id: id(letter), addresses });
const never = new AbortController().signal;

/** What a stream holds at this moment. */
async function drain(feed: HintFeed, hints: AsyncIterable<AddressHint>): Promise<readonly AddressHint[]> {
  feed.end();
  const all: AddressHint[] = [];
  for await (const each of hints) all.push(each);
  return all;
}

describe("a feed of hints", () => {
  test("gives a slow reader the last hint about each node, in the order in which they were heard last", async () => {
    const feed = new HintFeed();
    const hints = feed.hints({ signal: never });
    feed.offer(hint("a", "10.0.0.1:1"));
    feed.offer(hint("b", "10.0.0.2:1"));
    feed.offer(hint("a", "10.0.0.3:1"));
    expect(await drain(feed, hints)).toEqual([hint("b", "10.0.0.2:1"), hint("a", "10.0.0.3:1")]);
  });

  test("takes hints without a node for the same where their addresses are, in whatever order", async () => {
    const feed = new HintFeed();
    const hints = feed.hints({ signal: never });
    for (const addresses of [["x:1", "y:1"], ["y:1", "x:1"], ["z:1"]]) feed.offer({ source: "test", addresses });
    expect((await drain(feed, hints)).map(({ addresses }) => addresses)).toEqual([["y:1", "x:1"], ["z:1"]]);
  });

  test("keeps no more than its limit, for readers and for those who come late, and no hint without an address", async () => {
    const feed = new HintFeed({ limit: 2 });
    const early = feed.hints({ signal: never });
    for (const letter of ["a", "b", "c"]) feed.offer(hint(letter, "10.0.0.1:1"));
    feed.offer(hint("d"));
    const late = feed.hints({ signal: never });
    const expected = [hint("b", "10.0.0.1:1"), hint("c", "10.0.0.1:1")];
    expect(await drain(feed, early)).toEqual(expected);
    expect(await drain(feed, late)).toEqual(expected);
  });

  test("wakes a reader that waits, and lets it go when its loop is left", async () => {
    const feed = new HintFeed();
    const read = (async () => {
      for await (const each of feed.hints({ signal: never })) return each;
      return undefined;
    })();
    await Promise.resolve();
    feed.offer(hint("a", "10.0.0.1:1"));
    expect(await read).toEqual(hint("a", "10.0.0.1:1"));
  });

  test("gives nothing more once it has ended", async () => {
    const feed = new HintFeed();
    feed.end();
    feed.offer(hint("a", "10.0.0.1:1"));
    expect(await drain(feed, feed.hints({ signal: never }))).toEqual([]);
  });
});
