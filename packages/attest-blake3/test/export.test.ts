import type { ChainVerdict } from "@revoada/fabric";
import {
  checkpointOf,
  claimedCluster,
  ed25519Verifier,
  evidenceKind,
  exportChainOf,
  exportFromJson,
  exportToJson,
  proveNode,
  readChainFile,
  verifyChainInParallel,
  verifyChainWith,
} from "@revoada/attest-blake3";
import { decode } from "cborg";
import { describe, expect, test } from "vitest";
import { encodeExport, readExport, signExport } from "../src/core/chain-export.ts";
import { encodeChainFile } from "../src/core/chain-file.ts";
import { admit, ChainWriter, id, node, rememberingVerifier, testGenesis, writeStory } from "./support.ts";

const { clusterId } = testGenesis;
const native = ed25519Verifier();
const exportedMs = 1_800_000_000_000;
const file = writeStory().file();
const { identity } = node("b");
const whole = exportChainOf(file, clusterId, { exportedMs }, identity);
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Two nodes are admitted and the founder seals that: every kind of record but a cosignature, in few bytes. */
function shortChain(): Uint8Array {
  const writer = new ChainWriter();
  writer.propose([admit("b"), admit("c")]);
  writer.seal("a");
  return writer.file();
}

const short = exportChainOf(shortChain(), clusterId, { exportedMs }, identity);

function faultOf(verdict: ChainVerdict): { readonly reason: string; readonly message: string } {
  if (verdict.ok) throw new Error("the chain verifies");
  return verdict.fault;
}

describe("a signed export", () => {
  test("verifies in CBOR and in JSON, and says who handed it over and when", () => {
    const bare = verifyChainWith(file, clusterId, native);
    for (const bytes of [whole, utf8(exportToJson(whole))]) {
      expect(verifyChainWith(bytes, clusterId, native, { exporter: identity.id })).toEqual({
        ...bare,
        export: { exporter: identity.id, exportedMs, from: 1, to: 11, isMember: true },
      });
      expect(evidenceKind(bytes)).toBe("chain");
      expect(claimedCluster(bytes)).toBe(clusterId);
    }
  });

  test("is CBOR that any reader takes, and holds the records of the chain", () => {
    const fields = decode(whole) as readonly unknown[];
    expect(fields[0]).toBe("revoada/export/1");
    expect((fields[6] as readonly (readonly [string, Uint8Array])[]).map(([kind, bytes]) => ({ kind, bytes }))).toEqual(
      readChainFile(file).map(({ kind, bytes }) => ({ kind, bytes: new Uint8Array(bytes) })),
    );
  });

  test("verifies with threads as with one, and is what proofs and checkpoints are made from", async () => {
    const verdict = verifyChainWith(whole, clusterId, native);
    expect(await verifyChainInParallel(whole, clusterId, { jobs: 1 })).toEqual(verdict);
    const request = { node: id("c"), atMs: 1_700_000_000_003 };
    expect(proveNode(whole, clusterId, request)).toEqual(proveNode(file, clusterId, request));
    expect(checkpointOf(whole, clusterId, native)).toEqual(checkpointOf(file, clusterId, native));
  });

  test("of somebody who is not in the formation says so, and is refused where another one is expected", () => {
    const stranger = exportChainOf(file, clusterId, { exportedMs }, node("f").identity);
    expect(verifyChainWith(stranger, clusterId, native)).toMatchObject({ ok: true, export: { isMember: false } });
    for (const bytes of [stranger, file])
      expect(faultOf(verifyChainWith(bytes, clusterId, native, { exporter: identity.id })).reason).toBe("untrusted");
  });

  test("that says something else than its records show is refused, though it is signed", () => {
    const parts = readExport(whole);
    const lies = [
      { ...parts, to: 12 },
      { ...parts, from: 2 },
      { ...parts, clusterId: "ab".repeat(32) as typeof clusterId },
    ];
    for (const lie of lies)
      expect(faultOf(verifyChainWith(signExport(lie, identity), clusterId, native)).reason).toBe("bad-export");
  });

  test("that lost its last records is refused, unless somebody signs for what is left", () => {
    const parts = readExport(whole);
    const rest = { ...parts, to: 6, records: parts.records.slice(0, 8) };
    expect(faultOf(verifyChainWith(encodeExport(rest), clusterId, native)).reason).toBe("bad-export");
    expect(verifyChainWith(signExport(rest, identity), clusterId, native)).toMatchObject({
      ok: true,
      head: { height: 6 },
    });
  });
});

describe("a part of a chain", () => {
  const heights = (bytes: Uint8Array): readonly [number, number] => {
    const { from, to } = readExport(bytes);
    return [from, to];
  };
  const part = (from: number | undefined, to: number | undefined): Uint8Array =>
    exportChainOf(file, clusterId, { exportedMs, ...(from && { from }), ...(to && { to }) }, identity);

  // Commands end at 3, 6, 9 and 11; seals stand over 6, 9 and 11.
  test.each([
    [undefined, undefined, 1, 11],
    [1, 6, 1, 6],
    [undefined, 4, 1, 6],
    [6, undefined, 1, 11],
    [7, undefined, 7, 11],
    [9, undefined, 7, 11],
    [8, 8, 7, 9],
    [11, 11, 10, 11],
  ])("from %s to %s holds blocks %i to %i, and verifies", (from, to, first, last) => {
    const bytes = part(from, to);
    expect(heights(bytes)).toEqual([first, last]);
    const trust = last < 9 ? [id("a")] : [id("a"), id("b"), id("d")];
    const anyone = [id("a"), id("b")];
    const verdict = verifyChainWith(bytes, clusterId, native, last === 9 ? { trust: anyone } : { trust });
    expect(verdict).toMatchObject({ ok: true, head: { height: last }, export: { from: first, to: last } });
    expect(exportFromJson(exportToJson(bytes))).toEqual(bytes);
  });

  test("that begins later is not believed by itself, and goes on from a checkpoint that one has", () => {
    const later = part(7, undefined);
    expect(faultOf(verifyChainWith(later, clusterId, native)).reason).toBe("untrusted");
    const from = checkpointOf(part(undefined, 6), clusterId, native);
    expect(verifyChainWith(later, clusterId, native, { from })).toMatchObject({ ok: true, base: 6 });
  });

  test("is cut out of a part as out of the whole", () => {
    const cut = exportChainOf(part(7, undefined), clusterId, { exportedMs, from: 8, to: 9 }, identity);
    expect(cut).toEqual(part(8, 9));
  });

  test("beyond the chain is refused", () => {
    const outside: readonly (readonly [Uint8Array, number, number | undefined])[] = [
      [file, 12, undefined],
      [file, 1, 12],
      [file, 5, 4],
    ];
    for (const [chain, from, to] of outside)
      expect(() => exportChainOf(chain, clusterId, { exportedMs, from, ...(to && { to }) }, identity)).toThrow(
        expect.objectContaining({ code: "CHAIN_INVALID", fault: expect.objectContaining({ reason: "unproven" }) }),
      );
    expect(() => exportChainOf(part(7, undefined), clusterId, { exportedMs, from: 6 }, identity)).toThrow(
      expect.objectContaining({ fault: expect.objectContaining({ reason: "archived" }) }),
    );
  });
});

describe("tampering with an export in CBOR", () => {
  test("each byte changed is refused: in a record as in a chain file, and elsewhere by the signature or the form", () => {
    const verifier = rememberingVerifier();
    const { records } = readExport(short);
    const spans = records.map(({ bytes }, index) => ({
      index,
      start: bytes.byteOffset,
      end: bytes.byteOffset + bytes.length,
    }));
    const reasons = new Set<string>();
    for (let offset = 0; offset < short.length; offset += 1) {
      const changed = short.slice();
      changed[offset] = (changed[offset] as number) ^ (1 << (offset % 8));
      const { reason, message } = faultOf(verifyChainWith(changed, clusterId, verifier));
      reasons.add(reason);
      const span = spans.find(({ start, end }) => offset >= start && offset < end);
      const alike = records.map((record, index) =>
        index === span?.index ? { ...record, bytes: changed.subarray(span.start, span.end) } : record,
      );
      const expected = span && faultOf(verifyChainWith(encodeChainFile(alike), clusterId, verifier));
      if (expected !== undefined) expect({ reason, message }, `byte ${offset}`).toMatchObject(pick(expected));
      else expect(["bad-export", "malformed", "bad-magic", "unknown-version"], `byte ${offset}`).toContain(reason);
    }
    expect([...reasons]).toEqual(expect.arrayContaining(["bad-export", "bad-seal", "broken-link", "malformed"]));
  });

  function pick({ reason, message }: { readonly reason: string; readonly message: string }): object {
    return { reason, message };
  }

  test("each length that it is cut to is refused, and so are bytes behind it", () => {
    for (let length = 0; length < short.length; length += 7)
      expect(verifyChainWith(short.slice(0, length), clusterId, native).ok, `${length} bytes`).toBe(false);
    expect(faultOf(verifyChainWith(Uint8Array.of(...short, 0), clusterId, native)).reason).toBe("malformed");
  });
});

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Every leaf of a value, as a path and a function that gives a copy of the whole with another leaf there. */
function leavesOf(
  value: Json,
  path: string,
  rebuild: (leaf: Json) => Json,
): { path: string; leaf: Json; put: (leaf: Json) => Json }[] {
  if (typeof value !== "object" || value === null) return [{ path, leaf: value, put: rebuild }];
  if (Array.isArray(value))
    return value.flatMap((item, index) =>
      leavesOf(item, `${path}[${index}]`, (leaf) => rebuild(value.with(index, leaf))),
    );
  return Object.entries(value).flatMap(([key, item]) =>
    leavesOf(item, `${path}.${key}`, (leaf) => rebuild({ ...value, [key]: leaf })),
  );
}

/** Another value of the same type. Of texts another character, of which base64url and hex stay what they are. */
function otherThan(leaf: Json): Json {
  if (typeof leaf === "number") return leaf + 1;
  if (typeof leaf === "boolean") return !leaf;
  if (typeof leaf !== "string" || leaf === "") return "x";
  const middle = Math.floor(leaf.length / 2);
  return leaf.slice(0, middle) + (leaf[middle] === "0" ? "1" : "0") + leaf.slice(middle + 1);
}

describe("an export in JSON", () => {
  const json = exportToJson(short);
  const value = JSON.parse(json) as { [key: string]: Json };
  const refused = (message: string): unknown =>
    expect.objectContaining({
      code: "CHAIN_INVALID",
      fault: expect.objectContaining({ message: expect.stringContaining(message) as unknown }) as unknown,
    });

  test("is made of CBOR and back without a change, and says beside the bytes what is in them", () => {
    for (const bytes of [short, whole]) expect(exportFromJson(exportToJson(bytes))).toEqual(bytes);
    expect(value).toMatchObject({
      format: "revoada/export/1",
      cluster: clusterId,
      records: [
        { kind: "genesis", says: { founder: id("a"), zone: "zone-a" } },
        {
          kind: "block",
          says: { height: 1, command: { reason: "a test says so", transitions: [{ verb: "admit" }, {}] } },
        },
        { kind: "block", says: { height: 2, ordinal: 1 } },
        { kind: "seal", says: { head: { height: 2 }, leader: id("a") } },
      ],
    });
  });

  test("each leaf changed is refused, by its path or by what the changed bytes lead to", () => {
    const verifier = rememberingVerifier();
    for (const { path, leaf, put } of leavesOf(value, "$", (changed) => changed)) {
      const text = JSON.stringify(put(otherThan(leaf)));
      const { reason, message } = faultOf(verifyChainWith(utf8(text), clusterId, verifier));
      // The bytes lead: what was said beside changed ones is what is wrong then.
      const byBytes = path.endsWith(".bytes") || path === "$.signature";
      if (byBytes) expect(["malformed", "bad-export", "unknown-version", "bad-genesis"], path).toContain(reason);
      else if (["$.cluster", "$.exporter", "$.exportedMs", "$.from", "$.to"].includes(path))
        expect(reason, path).toBe("bad-export");
      else expect(message, path).toContain(path);
    }
  });

  test("spaces and line breaks between its parts do not matter", () => {
    expect(exportFromJson(JSON.stringify(value, null, 4))).toEqual(short);
    expect(exportFromJson(JSON.stringify(value))).toEqual(short);
  });

  test("the same values in another text are refused", () => {
    const again = `{"format":"revoada/export/2",${json.slice(json.indexOf("{") + 1)}`;
    const elsewhere = JSON.stringify({ signature: value["signature"], ...value, records: value["records"] });
    for (const text of [
      again,
      elsewhere,
      json.replace('"from":1', '"from":1e0'),
      json.replace("zone-a", "zone\\u002da"),
    ])
      expect(() => exportFromJson(text)).toThrow(refused("$: expected the fields once each"));
  });

  test.each([
    ["nothing", "", "not JSON"],
    ["what is no object", "[]", "$: expected an object"],
    ["another format", '{"format":"revoada/export/9"}', "$.format"],
    ["what is no list of records", '{"format":"revoada/export/1","records":{}}', "$.records: expected a list"],
    [
      "nesting of a hundred thousand levels",
      `{"format":"revoada/export/1","records":[${"[".repeat(1e5)}${"]".repeat(1e5)}]}`,
      "$.",
    ],
  ])("%s is refused", (_name, text, message) => {
    expect(() => exportFromJson(text)).toThrow(refused(message));
  });

  test("fields that are missing or were added are refused by their path", () => {
    const records = value["records"] as { [key: string]: Json }[];
    const added = { ...value, records: records.with(3, { ...records[3], comment: "trust me" }) };
    expect(() => exportFromJson(JSON.stringify(added))).toThrow(refused("$.records[3]: expected no other fields"));
    const missing = { ...value, records: records.with(3, { kind: "seal", bytes: records[3]?.["bytes"] ?? "" }) };
    expect(() => exportFromJson(JSON.stringify(missing))).toThrow(refused("$.records[3].says"));
  });

  test("bytes that are not UTF-8 are refused", () => {
    expect(() => exportFromJson(Uint8Array.of(0x7b, 0xff))).toThrow(refused("not UTF-8"));
  });
});
