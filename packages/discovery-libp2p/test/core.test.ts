import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { parseNodeId } from "@revoada/fabric";
import { encode } from "cborg";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { multiaddrOf } from "../src/core/endpoint.ts";
import { rendezvousOf } from "../src/core/rendezvous.ts";
import {
  decodeWhereabouts,
  encodeBody,
  encodeWhereabouts,
  maxWhereaboutsBytes,
  messageOf,
} from "../src/core/whereabouts.ts";
import { keyOf } from "../src/keys.ts";
import { isPlain } from "../src/network.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const group = new Uint8Array(32).fill(7);
const invalid = expect.objectContaining({ code: "FABRIC_INVALID_VALUE" });

describe("where a group meets", () => {
  test("follows from the group alone, and stays what it was", () => {
    const { networkKey, serviceTag, providerDigest, context } = rendezvousOf(group);
    expect({
      key: hex(networkKey),
      serviceTag,
      provider: hex(providerDigest),
      context: hex(context),
    }).toEqual({
      key: "1478d650f42bc6fb6f3406c7c8e856641d3f019dbc3e4cbf6bbeb4c987ded205",
      serviceTag: "_rvd3i4wbhlohva._udp.local",
      provider: "9572f571d92f57526973877d5510933c0e2707defa5a41893ac1209fa4f423a5",
      context: "7f056fce3aa142b1486bf99e11323dbb4f88ff3143834ce1e9c4d0de63708088",
    });
    expect(rendezvousOf(Uint8Array.from(group))).toEqual(rendezvousOf(group));
  });

  test("is another one in each part for another group", () => {
    const [one, other] = [rendezvousOf(group), rendezvousOf(new Uint8Array(32).fill(8))];
    expect([hex(one.networkKey), one.serviceTag, hex(one.providerDigest), hex(one.context)]).not.toContain([
      hex(other.networkKey),
      other.serviceTag,
      hex(other.providerDigest),
      hex(other.context),
    ]);
    for (const part of ["networkKey", "providerDigest", "context"] as const)
      expect(hex(one[part])).not.toBe(hex(other[part]));
    expect(one.serviceTag).not.toBe(other.serviceTag);
  });

  test("shows nothing of the group, nor one part of another", () => {
    const { networkKey, serviceTag, providerDigest, context } = rendezvousOf(group);
    const parts = [
      hex(group),
      hex(networkKey),
      hex(providerDigest),
      hex(context),
      createHash("sha256").update(group).digest("hex"),
    ];
    expect(new Set(parts).size).toBe(parts.length);
    expect(serviceTag).not.toContain(hex(group).slice(0, 8));
  });

  test("has a service name that mDNS allows: at most 15 letters, digits and hyphens (RFC 6763 §7.2)", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) =>
        /^_[a-z0-9-]{1,15}\._udp\.local$/.test(rendezvousOf(bytes).serviceTag),
      ),
      { numRuns: 30 },
    );
  });
});

describe("a place of libp2p", () => {
  test.each([
    ["10.0.0.1:7401", "/ip4/10.0.0.1/tcp/7401"],
    ["[fd00::1]:7401", "/ip6/fd00::1/tcp/7401"],
    ["node.example.com:0", "/dns/node.example.com/tcp/0"],
    ["/ip4/10.0.0.1/tcp/7401", "/ip4/10.0.0.1/tcp/7401"],
    ["/dns4/node.example.com/tcp/7401", "/dns4/node.example.com/tcp/7401"],
    [
      "/ip4/10.0.0.1/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
      "/ip4/10.0.0.1/tcp/1/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
    ],
  ])("%s is read", (text, expected) => {
    expect(multiaddrOf("peers", text)).toBe(expected);
  });

  test.each([
    "",
    "10.0.0.1",
    "10.0.0.1:70000",
    "/ip4/10.0.0.1/udp/1",
    "/ip4/10.0.0.1/tcp/70000",
    "/ip4/10.0.0.1/tcp/1/ws",
    "a b:1",
    "x".repeat(500),
  ])("%j is refused, by the name of its option", (text) => {
    expect(() => multiaddrOf("peers", text)).toThrow(
      expect.objectContaining({ code: "DISCOVERY_INVALID_OPTIONS", message: expect.stringContaining("peers") }),
    );
  });
});

describe("an address that a stranger gives", () => {
  test.each([
    ["/ip4/10.0.0.1/tcp/7401", true],
    ["/ip6/fd00::1/tcp/7401/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5", true],
    ["/dns4/node.example.com/tcp/7401", false],
    ["/dnsaddr/node.example.com", false],
    ["/ip4/10.0.0.1/udp/7401/quic-v1", false],
    ["/ip4/10.0.0.1/tcp/7401/ws", false],
    ["/ip4/10.0.0.1/tcp/7401/p2p/x/p2p-circuit", false],
  ])("%s is dialled: %s", (address, expected) => {
    expect(isPlain(address)).toBe(expected);
  });
});

describe("what a node says of where it is", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const id = parseNodeId(publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("hex"));
  const { context } = rendezvousOf(group);
  const body = encodeBody({ id, addresses: ["10.0.0.1:7400", "[fd00::1]:7400"] });
  const signature = new Uint8Array(sign(null, messageOf(body, context), privateKey));
  const bytes = encodeWhereabouts(body, signature);

  /** Whether bytes are believed: they can be read, and their signature is that of the node that they name. */
  const isBelieved = async (given: Uint8Array, in_: Uint8Array = context): Promise<boolean> => {
    try {
      const { whereabouts, message, signature: signed } = decodeWhereabouts(given, in_);
      return await keyOf(whereabouts.id).verify(message, signed);
    } catch (error) {
      expect(error).toEqual(invalid);
      return false;
    }
  };

  test("is read as it was written, and its signature counts in its group alone", async () => {
    expect(decodeWhereabouts(bytes, context).whereabouts).toEqual({
      id,
      addresses: ["10.0.0.1:7400", "[fd00::1]:7400"],
    });
    expect(await isBelieved(bytes)).toBe(true);
    expect(await isBelieved(bytes, rendezvousOf(new Uint8Array(32).fill(8)).context)).toBe(false);
  });

  test("is not believed with any bit of it changed, nor with any part of it missing", async () => {
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Uint8Array.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      expect(await isBelieved(changed), `byte ${at}`).toBe(false);
      expect(await isBelieved(bytes.subarray(0, at)), `${at} bytes`).toBe(false);
    }
  });

  test("leaves addresses out beyond sixteen, and one with more of them is refused", () => {
    const many = Array.from({ length: 40 }, (_, index) => `10.0.0.1:${index + 1}`);
    const short = encodeWhereabouts(encodeBody({ id, addresses: many }), signature);
    expect(decodeWhereabouts(short, context).whereabouts.addresses).toHaveLength(16);
    const long = encodeWhereabouts(encode({ id, addresses: many }), signature);
    expect(() => decodeWhereabouts(long, context)).toThrow(invalid);
  });

  const wrong: Readonly<Record<string, unknown>> = {
    "another version": { version: 2, body, signature },
    "no body": { version: 1, signature },
    "a body that is a text": { version: 1, body: "x", signature },
    "a short signature": { version: 1, body, signature: signature.subarray(1) },
    "a field too many": { version: 1, body, signature, more: 1 },
    "a list": [1, body, signature],
    "a body without a node": { version: 1, body: encode({ addresses: [] }), signature },
    "a node that is none": { version: 1, body: encode({ id: "x", addresses: [] }), signature },
    "addresses that are none": { version: 1, body: encode({ id, addresses: ["somewhere"] }), signature },
    "addresses that are no list": { version: 1, body: encode({ id, addresses: "x:1" }), signature },
    "a field too many in its body": { version: 1, body: encode({ id, addresses: [], more: 1 }), signature },
  };
  test.each(Object.entries(wrong))("with %s is refused", (_, value) => {
    expect(() => decodeWhereabouts(encode(value), context)).toThrow(invalid);
  });

  test("that is too long is refused before it is read", () => {
    expect(() => decodeWhereabouts(new Uint8Array(maxWhereaboutsBytes + 1), context)).toThrow(invalid);
  });

  test("breaks nothing, whatever bytes there are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (given) => {
        try {
          decodeWhereabouts(given, context);
          return true;
        } catch (error) {
          return (error as { code?: string }).code === "FABRIC_INVALID_VALUE";
        }
      }),
    );
  });

  test("names the node whose key signs it", () => {
    expect(Buffer.from(keyOf(id).raw).toString("hex")).toBe(id);
  });
});
