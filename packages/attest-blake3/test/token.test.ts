import type { NodeId } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { toBase64url } from "../src/core/base64url.ts";
import { attestorOf, id, node, testGenesis, zeroHash } from "./support.ts";

const attestor = node("a");
const { clusterId } = testGenesis;
const input = {
  clusterId,
  addresses: ["10.0.0.1:7400", "[::1]:7400", "node-a.example:7400"],
  voters: [id("a"), id("b"), id("c")],
  expiresMs: 1_700_000_900_000,
  uses: 3,
  random: Uint8Array.from({ length: 48 }, (_, index) => index),
};
const { token, record } = attestor.createToken(input);
const channel = new Uint8Array(32).fill(9);

function invalid(text: string): unknown {
  try {
    return attestor.decodeToken(text);
  } catch (error) {
    return error;
  }
}

describe("a join token", () => {
  test("comes back from its one line of text, also with white space around it", () => {
    const text = attestor.encodeToken(token);
    expect(text).toMatch(/^rvd1[A-Za-z0-9_-]+$/);
    expect(attestor.decodeToken(text)).toEqual(token);
    expect(attestor.decodeToken(`  ${text}\n`)).toEqual(token);
  });

  test("leaves with the cluster its public half and never the seed", () => {
    expect(record).toEqual({
      tokenId: "000102030405060708090a0b0c0d0e0f",
      publicKey: expect.stringMatching(/^[0-9a-f]{64}$/),
      expiresMs: input.expiresMs,
      usesLeft: 3,
    });
    expect(record.publicKey).not.toBe(Buffer.from(token.seed).toString("hex"));
  });

  test("is refused with any character changed, left out or doubled", () => {
    const text = attestor.encodeToken(token);
    for (let index = 0; index < text.length; index += 1) {
      const other = text[index] === "A" ? "B" : "A";
      for (const changed of [
        text.slice(0, index) + other + text.slice(index + 1),
        text.slice(0, index) + text.slice(index + 1),
      ]) {
        expect(invalid(changed), changed).toMatchObject({ code: "TOKEN_INVALID" });
      }
    }
    expect(invalid(`${text}${text}`)).toMatchObject({ code: "TOKEN_INVALID" });
  });

  test("of another version, of another kind, empty or endless is refused", () => {
    expect(invalid("rvd2AAAA")).toMatchObject({ code: "TOKEN_INVALID", message: expect.stringContaining("version 2") });
    expect(invalid("K10abc::server:def")).toMatchObject({ code: "TOKEN_INVALID" });
    expect(invalid("")).toMatchObject({ code: "TOKEN_INVALID" });
    expect(invalid("rvd1")).toMatchObject({ code: "TOKEN_INVALID" });
    expect(invalid(`rvd1${"A".repeat(1024 * 1024)}`)).toMatchObject({ code: "TOKEN_INVALID" });
    expect(invalid(undefined as never)).toMatchObject({ code: "TOKEN_INVALID" });
  });

  test("with a right checksum over anything but a token is refused", () => {
    for (const body of [Uint8Array.of(0x80), Uint8Array.of(0xff), new TextEncoder().encode("token")]) {
      const checksum = Buffer.from(attestor.hash(body), "hex").subarray(0, 4);
      const text = `rvd1${toBase64url(Uint8Array.of(...body, ...checksum))}`;
      expect(invalid(text)).toMatchObject({ code: "TOKEN_INVALID" });
    }
  });

  test("never stands in the error that refuses it", () => {
    const text = attestor.encodeToken(token);
    const error = invalid(`${text.slice(0, -1)}${text.endsWith("A") ? "B" : "A"}`) as Error;
    expect(error.message).not.toContain(text.slice(4, 20));
    expect(error.cause).toBeUndefined();
  });

  test("may name no address, for newcomers that find the cluster in another way", () => {
    const { token: bare } = attestor.createToken({ ...input, addresses: [] });
    expect(attestor.decodeToken(attestor.encodeToken(bare))).toEqual(bare);
  });

  test("is not made from parts that a newcomer would refuse", () => {
    const refused = { TOKEN_INVALID: [] as unknown[], FABRIC_INVALID_VALUE: [] as unknown[] };
    refused.TOKEN_INVALID = [
      { addresses: ["has a space:1"] },
      { addresses: ["x".repeat(256)] },
      { voters: [] },
      { voters: ["nonsense"] },
      { voters: [id("a"), id("a")] },
      { clusterId: "nonsense" },
    ];
    refused.FABRIC_INVALID_VALUE = [
      { random: new Uint8Array(47) },
      { uses: 0 },
      { uses: 1.5 },
      { expiresMs: Number.NaN },
    ];
    for (const [code, changes] of Object.entries(refused)) {
      for (const change of changes) {
        expect(() => attestor.createToken({ ...input, ...(change as object) }), JSON.stringify(change)).toThrow(
          expect.objectContaining({ code }),
        );
      }
    }
  });
});

describe("a proof of a token", () => {
  const newcomer = attestorOf("n").identity.id;
  const proof = attestor.proveToken(token, channel, newcomer);

  test("holds for its connection, cluster and node", () => {
    expect(node("b").checkTokenProof(record, clusterId, channel, newcomer, proof)).toBe(true);
  });

  test("holds for no other connection, cluster, node or token, so that whoever relays it gains nothing", () => {
    const other = attestor.createToken({ ...input, random: input.random.toReversed() });
    expect(attestor.checkTokenProof(record, clusterId, channel.with(0, 1), newcomer, proof)).toBe(false);
    expect(attestor.checkTokenProof(record, zeroHash as never, channel, newcomer, proof)).toBe(false);
    expect(attestor.checkTokenProof(record, clusterId, channel, id("c"), proof)).toBe(false);
    expect(attestor.checkTokenProof(other.record, clusterId, channel, newcomer, proof)).toBe(false);
    expect(
      attestor.checkTokenProof({ ...record, tokenId: other.record.tokenId }, clusterId, channel, newcomer, proof),
    ).toBe(false);
  });

  test("that is nonsense is a wrong proof rather than an error", () => {
    expect(attestor.checkTokenProof(record, clusterId, channel, newcomer, new Uint8Array(3))).toBe(false);
    expect(attestor.checkTokenProof(record, clusterId, new Uint8Array(0), newcomer, proof)).toBe(false);
    expect(attestor.checkTokenProof(record, clusterId, channel, "nonsense" as NodeId, proof)).toBe(false);
  });

  test("is not made for a connection that nothing binds", () => {
    expect(() => attestor.proveToken(token, new Uint8Array(0), newcomer)).toThrow(
      expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
    );
  });
});
