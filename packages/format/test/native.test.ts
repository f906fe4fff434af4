import type { PlainValue, ResourceDocument } from "@revoada/fabric";
import { jsonFormat, nativeFormat, yamlFormat } from "@revoada/format";
import { encode } from "cborg";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, plainValue } from "./support.ts";

const native = nativeFormat();
const ref = { kind: "Thing", name: "one" };

function refusal(bytes: Uint8Array): unknown {
  try {
    return native.decode(bytes, "body");
  } catch (error) {
    return error;
  }
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

function withoutExact({ ref: own, value }: ResourceDocument): ResourceDocument {
  return { ref: own, value };
}

describe("native", () => {
  test("what was decoded comes back byte for byte, also where it is not written as we would", () => {
    // The list in two bytes, the keys of the reference not sorted, a float that would fit in less.
    const mark = Buffer.from(encode("revoada/resource/1")).toString("hex");
    const odd = fromHex(`9803${mark}a2646e616d65636f6e65646b696e64655468696e67a16178fb3ff8000000000000`);
    const documents = native.decode(odd, "body");
    expect(documents).toEqual([{ ref, value: { x: 1.5 }, exact: odd }]);
    expect(native.encode(documents)).toEqual(odd);
    expect(native.encode(documents.map(withoutExact))).not.toEqual(odd);
  });

  test("any documents come back, bytes too, and several stand one after another", () => {
    const value = fc.oneof(plainValue, fc.uint8Array(), fc.record({ blob: fc.uint8Array(), rest: plainValue }));
    const document = value.map((plain): ResourceDocument => ({ ref, value: plain }));
    fc.assert(
      fc.property(fc.array(document, { minLength: 1, maxLength: 4 }), (documents) => {
        const bytes = native.encode(documents);
        const again = native.decode(bytes, "again");
        expect(again.map(withoutExact)).toEqual(documents);
        expect(native.encode(again)).toEqual(bytes);
        expect(again.reduce((sum, { exact }) => sum + (exact?.length ?? 0), 0)).toBe(bytes.length);
      }),
    );
  });

  test("a value says the same in every format", () => {
    const [document] = yamlFormat().decode(
      bytesOf("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {x: [1, 2.5]}"),
      "pod.yaml",
    );
    const [again] = native.decode(native.encode([document as ResourceDocument]), "again");
    expect(jsonFormat().decode(jsonFormat().encode([again as ResourceDocument]), "json")).toEqual([document]);
  });

  test("kept bytes are written only while they say what the document says", () => {
    const [document] = native.decode(native.encode([{ ref, value: 1 }]), "body") as [ResourceDocument];
    const changed = { ...document, value: 2 };
    expect(native.decode(native.encode([changed]), "again")[0]?.value).toBe(2);
    const moved = { ...document, ref: { kind: "Thing", name: "two" } };
    expect(native.decode(native.encode([moved]), "again")[0]?.ref.name).toBe("two");
    const foreign = { ref, value: 1, exact: bytesOf("kind = Thing") };
    expect(native.encode([foreign])).toEqual(native.encode([{ ref, value: 1 }]));
  });

  test("kept bytes do not change with the buffer that they came in", () => {
    const buffer = Buffer.from(native.encode([{ ref, value: new Uint8Array([1, 2, 3]) }]));
    const documents = native.decode(buffer, "body");
    const before = native.encode(documents);
    buffer.fill(0);
    expect(native.encode(documents)).toEqual(before);
    expect(documents[0]?.value).toEqual(new Uint8Array([1, 2, 3]));
  });

  test("the envelope of version 1 has these bytes", () => {
    const value = { a: [1, true, null, "é", 0.5], b: new Uint8Array([255]) };
    const bytes = native.encode([{ ref: { group: "g.example", kind: "Kind", name: "n", namespace: "ns" }, value }]);
    expect(Buffer.from(bytes).toString("hex")).toBe(
      "83727265766f6164612f7265736f757263652f31a4646b696e64644b696e64646e616d65616e6567726f757069672e6578616d706c65696e616d657370616365626e73a261618501f5f662c3a9f93800616241ff",
    );
  });

  test.each<readonly [string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "there is no document"],
    ["text", bytesOf("kind: A"), "envelope at byte 0"],
    ["another version", encode(["revoada/resource/2", ref, 1]), "another version"],
    ["another mark", encode(["something", ref, 1]), "expected a list"],
    ["an item too many", encode(["revoada/resource/1", ref, 1, 2]), "expected a list"],
    ["no list", encode({ kind: "A" }), "expected a list"],
    ["a reference without a kind", encode(["revoada/resource/1", { name: "one" }, 1]), "reference.kind"],
    ["a reference with a path in it", encode(["revoada/resource/1", { ...ref, name: "../x" }, 1]), "reference.name"],
    [
      "a reference with a field too many",
      encode(["revoada/resource/1", { ...ref, uid: "1" }, 1]),
      'no such field "uid"',
    ],
    ["a reference that is no map", encode(["revoada/resource/1", "Thing/one", 1]), "expected a map"],
    ["infinity", encode(["revoada/resource/1", ref, Number.POSITIVE_INFINITY]), "Infinity"],
    ["an integer beyond 2^53 - 1", encode(["revoada/resource/1", ref, 2n ** 60n]), "not CBOR"],
    ["a float beyond 2^53 - 1", encode(["revoada/resource/1", ref, 1e300]), "2^53 - 1"],
    ["undefined", encode(["revoada/resource/1", ref, undefined]), "not CBOR"],
    [
      "a key that bends prototypes",
      encode(["revoada/resource/1", ref, JSON.parse('{"__proto__":1}')]),
      '"__proto__" is refused',
    ],
    ["a tag", Uint8Array.of(0xc0, 0x60), "tags are refused"],
    ["an indefinite length", Uint8Array.of(0x9f, 0xff), "indefinite lengths are refused"],
    [
      "a key twice",
      fromHex(`83${Buffer.from(encode("revoada/resource/1")).toString("hex")}a2646b696e646141646b696e64614101`),
      "not CBOR",
    ],
    ["a list that claims more than there is", fromHex("9bffffffffffffffff00"), "claims more items"],
    ["a text that claims more than there is", fromHex("7bffffffffffffffff00"), "in the middle of an item"],
    [
      "a second envelope that is cut",
      Uint8Array.of(...encode(["revoada/resource/1", ref, 1]), 0x83),
      `envelope at byte ${encode(["revoada/resource/1", ref, 1]).length}:`,
    ],
    ["a million levels", new Uint8Array(1_000_000).fill(0x81), "more than 64 levels"],
    [
      "a value that calls itself otherwise",
      encode([
        "revoada/resource/1",
        { kind: "Pod", name: "a" },
        { apiVersion: "v1", kind: "Pod", metadata: { name: "b" } },
      ]),
      "the reference is Pod a, the value calls itself Pod b",
    ],
  ])("%s is refused", (_name, bytes, words) => {
    expect(refusal(bytes)).toMatchObject({ code: "FORMAT_INVALID", message: expect.stringContaining(words) });
  });

  test("64 levels within a value are read and 65 are refused", () => {
    const nested = (levels: number): PlainValue => (levels === 0 ? 1 : [nested(levels - 1)]);
    const envelope = (levels: number): Uint8Array => encode(["revoada/resource/1", ref, nested(levels)]);
    expect(native.decode(envelope(64), "body")).toHaveLength(1);
    expect(refusal(envelope(65))).toMatchObject({
      code: "FORMAT_INVALID",
      message: expect.stringContaining("more than 64 levels"),
    });
  });

  test("a value that calls itself otherwise is not written", () => {
    const value = { apiVersion: "v1", kind: "Pod", metadata: { name: "b" } };
    expect(() => native.encode([{ ref, value }])).toThrow(expect.objectContaining({ code: "FORMAT_INVALID" }));
  });

  test("bytes that are no envelope never raise anything but FORMAT_INVALID", () => {
    const whole = native.encode([{ ref, value: { a: [1, "x", new Uint8Array(3)] } }]);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const result = refusal(whole.with(at, byte));
        if (result instanceof Error) expect(result).toMatchObject({ code: "FORMAT_INVALID" });
      }),
      { numRuns: 1000 },
    );
  });
});
