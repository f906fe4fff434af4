import type { PlainValue, ResourceDocument } from "@revoada/fabric";
import { jsonFormat, maxDocumentBytes } from "@revoada/format";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, decodeText, expectRefused, plainDocument, textOf } from "./support.ts";

const json = jsonFormat();

function specOf(documents: readonly ResourceDocument[]): unknown {
  const [first] = documents as readonly [ResourceDocument];
  return (first.value as { readonly spec: unknown }).spec;
}

describe("json", () => {
  test("a Kubernetes object is the resource that its apiVersion, kind and metadata name", () => {
    const value = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "shop" },
      spec: { replicas: 3 },
    };
    expect(decodeText(json, JSON.stringify(value))).toEqual([
      { ref: { group: "apps", kind: "Deployment", name: "web", namespace: "shop" }, value },
    ]);
  });

  test("a plain object is the resource that its group, kind, name and namespace name", () => {
    const value = { kind: "Machine", name: "m-1", group: "metal.example", cores: 8 };
    expect(decodeText(json, JSON.stringify(value))).toEqual([
      { ref: { group: "metal.example", kind: "Machine", name: "m-1" }, value },
    ]);
  });

  test("several documents stand one after another or in a list", () => {
    const one = '{"kind":"A","name":"a"}';
    const two = '{"kind":"B","name":"b"}';
    const names = (text: string): readonly string[] => decodeText(json, text).map(({ ref }) => ref.name);
    expect(names(`${one}\n${two}\n`)).toEqual(["a", "b"]);
    expect(names(`[${one}, ${two}]`)).toEqual(["a", "b"]);
    expect(names(`[${one}] ${two}`)).toEqual(["a", "b"]);
  });

  test("one document is written as an object, several as a list, and both come back", () => {
    const documents = decodeText(json, '{"kind":"A","name":"a","x":[1,2.5,null,true,"é"]}{"kind":"B","name":"b"}');
    expect(textOf(json.encode(documents.slice(1)))).toBe('{\n  "kind": "B",\n  "name": "b"\n}\n');
    expect(json.decode(json.encode(documents), "again")).toEqual(documents);
  });

  test("any plain document comes back", () => {
    fc.assert(
      fc.property(fc.array(plainDocument, { minLength: 1, maxLength: 3 }), (documents) => {
        expect(json.decode(json.encode(documents), "again")).toEqual(documents);
      }),
    );
  });

  test("every value that JSON.parse reads is read alike", () => {
    fc.assert(
      fc.property(fc.json({ depthSize: "medium" }), (text) => {
        const expected = JSON.parse(text) as PlainValue;
        const wrapped = `{"kind":"A","name":"a","spec":${text}}`;
        let read: unknown;
        try {
          read = specOf(decodeText(json, wrapped));
        } catch (error) {
          // The only things that are refused beyond JSON.parse.
          expect((error as Error).message).toMatch(/2\^53|is refused|surrogate/);
          return;
        }
        expect(JSON.stringify(read)).toBe(JSON.stringify(expected));
      }),
    );
  });

  test("no text that JSON.parse refuses is read", () => {
    const start = '{"kind":"A","name":"a","spec":[1,-0.5e3,"x\\n",{"y":null}]}';
    fc.assert(
      fc.property(
        fc.nat(start.length - 1),
        fc.constantFrom("", '"', "{", "]", ",", "\\", "0", "\n", "x", "\t", "\u0001"),
        (at, piece) => {
          const text = start.slice(0, at) + piece + start.slice(at + 1);
          let isJson = true;
          try {
            JSON.parse(text);
          } catch {
            isJson = false;
          }
          if (!isJson)
            expect(() => decodeText(json, text)).toThrow(expect.objectContaining({ code: "FORMAT_INVALID" }));
        },
      ),
      { numRuns: 500 },
    );
  });

  test.each([
    ["a key that stands twice", '{"kind": "A",\n "kind": "B"}', "2:2", 'the key "kind" stands twice'],
    ["a key that bends prototypes", '{"kind":"A","name":"a",\n"__proto__": {}}', "2:1", '"__proto__" is refused'],
    ["a constructor key within", '{"kind":"A","name":"a","x":[{"constructor":1}]}', "1:30", '"constructor" is refused'],
    ["an escaped key that bends prototypes", '{"\\u005f_proto__": {}}', "1:2", '"__proto__" is refused'],
    ["an integer beyond 2^53 - 1", '{"kind":"A","name":"a",\n\n  "n": 9007199254740993}', "3:8", "2^53 - 1"],
    ["a number beyond the doubles", '{"kind":"A","name":"a","n": 1e999}', "1:29", "Infinity"],
    ["NaN", '{"kind":"A","name":"a","n":NaN}', "1:28", 'got "NaN"'],
    ["a leading zero", '{"n":012}', "1:7", "expected ',' or '}'"],
    ["a comma at the end", '{"a":1,}', "1:8", "a key in double quotes"],
    ["a comment", "// a\n{}", "1:1", 'got "/"'],
    ["an object that is not closed", '{"a": {', "1:8", "the end of the text"],
    ["a text that is not closed", '{"a": "b', "1:7", "not closed"],
    ["a raw line break in a text", '{"a": "b\nc"}', "1:7", "control character"],
    ["an unknown escape sequence", '{"a": "\\x41"}', "1:7", "escape sequence"],
    ["half of a surrogate pair", '{"a": "\\ud800"}', "1:7", "surrogate"],
    ["no document", " \n", "", "there is no document"],
    ["an empty list", "[]", "", "there is no document"],
    ["a text at the top", '"x"', "1:1", "a document is a map"],
    [
      "a document in a list that has no name",
      '[{"kind":"A","name":"a"},\n {"kind":"A"}]',
      "2:2",
      "name: expected 1 to 253",
    ],
    [
      "a name with a separator",
      '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"../x"}}',
      "1:1",
      "metadata.name: expected",
    ],
    [
      "an upper-case namespace",
      '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"X"}}',
      "1:1",
      "metadata.namespace: expected",
    ],
    ["no metadata", '{"apiVersion":"v1","kind":"Pod"}', "1:1", "metadata: expected a map with a name"],
    [
      "an apiVersion of three parts",
      '{"apiVersion":"a/b/v1","kind":"Pod","metadata":{"name":"x"}}',
      "1:1",
      "apiVersion: expected",
    ],
    [
      "an apiVersion without a version",
      '{"apiVersion":"apps/","kind":"Pod","metadata":{"name":"x"}}',
      "1:1",
      "apiVersion: expected",
    ],
    [
      "an apiVersion without a group",
      '{"apiVersion":"/v1","kind":"Pod","metadata":{"name":"x"}}',
      "1:1",
      "apiVersion: expected",
    ],
    [
      "an apiVersion that is a number",
      '{"apiVersion":1,"kind":"Pod","metadata":{"name":"x"}}',
      "1:1",
      "apiVersion: expected",
    ],
    ["a kind that is no text", '{"kind":7,"name":"x"}', "1:1", "kind: expected"],
  ])("%s is refused with its place", (_name, text, place, words) => {
    expectRefused(json, text, place, words);
  });

  test("64 levels are read and 65 are refused", () => {
    const nested = (levels: number): string =>
      `{"kind":"A","name":"a","x":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
    expect(decodeText(json, nested(64))).toHaveLength(1);
    expectRefused(json, nested(65), "1:91", "more than 64 levels");
    expectRefused(json, "[".repeat(1_000_000), "1:65", "more than 64 levels");
  });

  test("bytes that are not UTF-8, or too many, are refused", () => {
    const invalid = (message: string): unknown => expect.objectContaining({ code: "FORMAT_INVALID", message });
    expect(() => json.decode(Uint8Array.of(0x7b, 0xff), "x.json")).toThrow(invalid("x.json: the bytes are not UTF-8"));
    const large = new Uint8Array(maxDocumentBytes + 1);
    expect(() => json.decode(large, "x.json")).toThrow(invalid("x.json: 3145729 bytes, expected at most 3145728"));
  });

  test("a text of the largest size is read", () => {
    const body = `{"kind":"A","name":"a","x":"${"\\n".repeat(1_000_000)}${"y".repeat(1_000_000)}"}`;
    expect(decodeText(json, body)[0]?.value).toMatchObject({ x: `${"\n".repeat(1_000_000)}${"y".repeat(1_000_000)}` });
  });

  test("more than 4,096 documents are refused", () => {
    const one = '{"kind":"A","name":"a"}';
    expect(decodeText(json, one.repeat(4096))).toHaveLength(4096);
    expect(() => json.decode(bytesOf(one.repeat(4097)), "x.json")).toThrow("x.json: more than 4096 documents");
  });

  test.each([
    ["bytes", new Uint8Array(1)],
    ["NaN", Number.NaN],
    ["a date", new Date(0)],
    ["undefined", undefined],
    ["a prototype", JSON.parse('{"__proto__":1}')],
  ])("%s cannot be written, and the resource is named", (_name, spec) => {
    const document = { ref: { kind: "Thing", name: "one" }, value: { spec } as never };
    expect(() => json.encode([document])).toThrow(
      expect.objectContaining({ code: "FORMAT_INVALID", message: expect.stringMatching(/^Thing one: /) }),
    );
  });
});
