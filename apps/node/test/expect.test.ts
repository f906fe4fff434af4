import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { identityFromSeed } from "@revoada/attest-blake3";
import type { NodeId } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { Expectation, parseExpectedNodes, type ExpectedNode } from "../src/daemon/expect/expectation.ts";
import { decodeExpectRecord, encodeExpectRecord } from "../src/daemon/expect/record.ts";

const ids: readonly NodeId[] = [1, 2, 3].map((seed) => identityFromSeed(new Uint8Array(32).fill(seed)).id).toSorted();
const nodes: readonly ExpectedNode[] = ids.map((id, index) => ({ id, addresses: [`10.0.0.${index + 1}:7400`] }));
const secret = Buffer.from("a secret of all three of them");
const binding = randomBytes(32);

function expectation(given: Partial<ConstructorParameters<typeof Expectation>[0]> = {}): Expectation {
  return new Expectation({ self: ids[0] as NodeId, count: 3, nodes, secret, ...given });
}

const invalid = expect.objectContaining({ code: "NODE_EXPECT_INVALID" });

describe("an expectation", () => {
  test("has the lowest id as its founder, on every node and in whatever order they are listed", () => {
    for (const self of ids) {
      const made = expectation({ self, nodes: nodes.toReversed() });
      expect([made.founder, made.isFounder, made.others.length]).toEqual([ids[0], self === ids[0], 2]);
    }
  });

  test("is refused where it could not work", () => {
    const stranger = identityFromSeed(new Uint8Array(32).fill(9)).id;
    expect(() => expectation({ count: 2 })).toThrow(invalid);
    expect(() => expectation({ self: stranger })).toThrow(invalid);
    expect(() => expectation({ nodes: [...nodes.slice(1), nodes[1] as ExpectedNode] })).toThrow(invalid);
    expect(() => expectation({ secret: Buffer.from("short") })).toThrow(invalid);
    expect(() => expectation({ nodes: [], count: 0 })).toThrow(invalid);
  });

  test("opens what another one of the same keys and secret has sealed, on that connection and from that side", () => {
    const word = expectation().seal("founder", binding, { genesis: new Uint8Array(9) });
    const other = expectation({ self: ids[1] as NodeId });
    expect(other.open("founder", binding, word)?.take("genesis")).toEqual(new Uint8Array(9));
    expect(other.open("follower", binding, word)).toBeUndefined();
    expect(other.open("founder", randomBytes(32), word)).toBeUndefined();
    expect(
      expectation({ secret: Buffer.from("another secret of all three") }).open("founder", binding, word),
    ).toBeUndefined();
    const fewer = expectation({ nodes: nodes.slice(0, 2), count: 2 });
    expect(fewer.open("founder", binding, word)).toBeUndefined();
  });

  test("meets where those do who hold the same keys and secret, and nobody else", () => {
    const group = expectation().meetingGroup();
    expect(expectation({ self: ids[2] as NodeId }).meetingGroup()).toEqual(group);
    const other = expectation({ secret: Buffer.from("another secret of all three") }).meetingGroup();
    expect([group.length, Buffer.compare(group, other) === 0]).toEqual([32, false]);
  });

  test("opens nothing that was changed on the way, and nothing that is no word", () => {
    const word = expectation().seal("founder", binding, { genesis: new Uint8Array(9) });
    for (let at = 0; at < word.length; at += 1) {
      const changed = Uint8Array.from(word);
      changed[at] = (changed[at] as number) ^ 1;
      expect(expectation().open("founder", binding, changed)).toBeUndefined();
    }
    for (let length = 0; length < 64; length += 1)
      expect(expectation().open("founder", binding, randomBytes(length))).toBeUndefined();
  });

  test("gives the same token to all of them, and another to those of another secret or other keys", () => {
    const of = (made: Expectation): string => Buffer.from(made.tokenMaterial()).toString("hex");
    expect(of(expectation({ self: ids[2] as NodeId }))).toBe(of(expectation()));
    expect(of(expectation({ secret: Buffer.from("another secret of all three") }))).not.toBe(of(expectation()));
    expect(of(expectation({ nodes: nodes.slice(0, 2), count: 2 }))).not.toBe(of(expectation()));
  });
});

describe("a list of expected nodes", () => {
  test("is read with comments, blank lines and several addresses", () => {
    const text = `# three\n\n${ids[0]} 10.0.0.1:7400,[fd00::1]:7400 # first\n${ids[1]}\t10.0.0.2:7400\r\n`;
    expect(parseExpectedNodes(text, "peers")).toEqual([
      { id: ids[0], addresses: ["10.0.0.1:7400", "[fd00::1]:7400"] },
      { id: ids[1], addresses: ["10.0.0.2:7400"] },
    ]);
  });

  test("may leave an address out, where the nodes find each other", () => {
    expect(parseExpectedNodes(`${ids[0]}\n${ids[1]} 10.0.0.1:1\n`, "nodes")).toEqual([
      { id: ids[0], addresses: [] },
      { id: ids[1], addresses: ["10.0.0.1:1"] },
    ]);
  });

  test("is refused with the line that is wrong", () => {
    for (const line of [`${ids[1]} nowhere`, `abc 10.0.0.1:1`, `${ids[1]} 10.0.0.1:1 more`])
      expect(() => parseExpectedNodes(`${ids[0]} 10.0.0.1:1\n${line}\n`, "peers")).toThrow(/^peers:2: /);
  });
});

test("a record of a promise is read back whole, and refused where it is damaged", () => {
  const path = join("data", "expect.rvd");
  const bytes = encodeExpectRecord(Uint8Array.of(1, 2, 3));
  expect(decodeExpectRecord(bytes, path)).toEqual(Uint8Array.of(1, 2, 3));
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Uint8Array.from(bytes);
    changed[at] = (changed[at] as number) ^ 4;
    expect(() => decodeExpectRecord(changed, path)).toThrow(/expect\.rvd/);
  }
});
