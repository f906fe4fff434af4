import type { PlainValue } from "@revoada/fabric";
import { jsonFormat, yamlFormat } from "@revoada/format";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesOf, decodeText, expectRefused, plainDocument, textOf } from "./support.ts";

const yaml = yamlFormat();

function spec(text: string): PlainValue | undefined {
  const value = decodeText(yaml, `kind: A\nname: a\n${text}`)[0]?.value as Readonly<Record<string, PlainValue>>;
  return value["spec"];
}

function billionLaughs(levels: number): string {
  const lines = ["kind: A", "name: a", "l0: &l0 [lol]"];
  for (let level = 1; level <= levels; level += 1) {
    lines.push(`l${level}: &l${level} [${Array.from({ length: 9 }, () => `*l${level - 1}`).join(", ")}]`);
  }
  return lines.join("\n");
}

describe("yaml", () => {
  test("several documents in a body are several resources, empty ones none", () => {
    const text = [
      "# a shop",
      "---",
      "apiVersion: v1",
      "kind: ConfigMap",
      "metadata: {name: settings, namespace: shop}",
      "data:",
      '  motd: "hello"',
      "---",
      "# nothing here",
      "---",
      "apiVersion: apps/v1",
      "kind: Deployment",
      "metadata:",
      "  name: web",
      "  namespace: shop",
      "...",
    ].join("\n");
    expect(decodeText(yaml, text).map(({ ref }) => ref)).toEqual([
      { kind: "ConfigMap", name: "settings", namespace: "shop" },
      { group: "apps", kind: "Deployment", name: "web", namespace: "shop" },
    ]);
  });

  test("scalars are those of the core schema of YAML 1.2", () => {
    expect(spec("spec: [1, -2.5, 0x1f, 0o17, true, null, ~, yes, 1:30, 2001-01-01, '1', -0]")).toEqual([
      1,
      -2.5,
      31,
      15,
      true,
      null,
      null,
      "yes",
      "1:30",
      "2001-01-01",
      "1",
      0,
    ]);
    expect(spec("spec: !!str 5")).toBe("5");
    expect(spec("spec: |\n  two\n  lines\n")).toBe("two\nlines\n");
    expect(spec("spec:\n")).toBe(null);
  });

  test("an alias is what its anchor last stood for", () => {
    expect(spec("x: &a {deep: [1]}\ny: &b 1\nz: &b 2\nspec: [*a, *b]")).toEqual([{ deep: [1] }, 2]);
  });

  test("a namespace without a value is none", () => {
    expect(decodeText(yaml, "apiVersion: v1\nkind: Node\nmetadata:\n  name: n\n  namespace:\n")[0]?.ref).toEqual({
      kind: "Node",
      name: "n",
    });
  });

  test("a byte order mark and lines that end as on Windows are read", () => {
    expect(decodeText(yaml, "\ufeffkind: A\r\nname: a\r\n")[0]?.value).toEqual({ kind: "A", name: "a" });
  });

  test("any plain documents come back, and mean the same as JSON", () => {
    const json = jsonFormat();
    fc.assert(
      fc.property(fc.array(plainDocument, { minLength: 1, maxLength: 3 }), (documents) => {
        const text = yaml.encode(documents);
        expect(yaml.decode(text, "again")).toEqual(documents);
        expect(yaml.decode(json.encode(documents.slice(0, 1)), "again")).toEqual(documents.slice(0, 1));
      }),
      { numRuns: 200 },
    );
  });

  test("what a reader of YAML 1.1 would misread is written in quotes", () => {
    const value = { kind: "A", name: "a", x: ["yes", "on", "1:30", "012", "2001-01-01"] };
    const text = textOf(yaml.encode([{ ref: { kind: "A", name: "a" }, value }]));
    for (const item of value.x.slice(0, 4)) expect(text).toContain(`"${item}"`);
  });

  test.each([
    ["a key that stands twice", "kind: A\nname: a\nname: b", "3:1", 'the key "name" stands twice'],
    ["a key that stands twice in another notation", 'kind: A\n"kind": B', "2:1", 'the key "kind" stands twice'],
    ["a key that bends prototypes", "kind: A\nname: a\n__proto__: {x: 1}", "3:1", '"__proto__" is refused'],
    ["a constructor key within", "kind: A\nname: a\nx:\n  - constructor: 1", "4:5", '"constructor" is refused'],
    ["a merge key", "kind: A\nname: a\nx: &x {y: 1}\nz:\n  <<: *x", "5:3", "merge keys"],
    ["a key that is a number", "kind: A\nname: a\n8080: x", "3:1", "put 8080 in quotes"],
    ["a key that is a list", "kind: A\n? [a]\n: b", "2:3", "a key is a text"],
    ["a custom tag", "kind: A\nname: !secret a", "2:7", "unresolved tag"],
    ["a tag that asks for code", "kind: A\nname: a\nx: !!js/function 'x'", "3:4", "unresolved tag"],
    ["a tag of YAML 1.1", "kind: A\nname: a\nx: !!binary aGk=", "3:4", "unresolved tag"],
    ["a tag that the value does not fit", "kind: A\nname: a\nx: !!int abc", "3:4", "unresolved tag"],
    ["a tag without a name", "kind: A\nname: a\nx: ! 5", "3:6", 'the tag "!" is refused'],
    ["a key with a custom tag", "kind: A\nname: a\n!x y: 1", "3:1", "unresolved tag"],
    ["YAML 1.1", "%YAML 1.1\n---\nkind: A\nname: yes", "", "YAML 1.1, expected 1.2"],
    ["an integer beyond 2^53 - 1", "kind: A\nname: a\nx: 9007199254740993", "3:4", "2^53 - 1"],
    ["an integer of a hundred digits", `kind: A\nname: a\nx: ${"9".repeat(100)}`, "3:4", "2^53 - 1"],
    ["a large float", "kind: A\nname: a\nx: 1e300", "3:4", "2^53 - 1"],
    ["infinity", "kind: A\nname: a\nx: -.inf", "3:4", "-Infinity"],
    ["not a number", "kind: A\nname: a\nx: .nan", "3:4", "NaN"],
    ["half of a surrogate pair", 'kind: A\nname: a\nx: "\\ud800"', "3:4", "surrogate"],
    ["an alias to nothing", "kind: A\nname: a\nx: *nowhere", "3:4", "nowhere"],
    ["an alias within what it names", "kind: A\nname: a\nx: &x [*x]", "3:8", "*x"],
    ["an alias bomb", billionLaughs(9), "", "aliases make the text"],
    ["a tab as indentation", "kind: A\nx:\n\ty: 1", "3:1", "tab"],
    ["a flow list that is not closed", "kind: A\nx: [1, 2", "2:9", "flow"],
    ["bad indentation", "kind: A\n  name: a", "", "nested mappings"],
    ["no document", "# nothing\n---\n", "", "there is no document"],
    ["a list at the top", "- kind: A\n  name: a", "1:1", "a document is a map"],
    ["the second document without a name", "kind: A\nname: a\n---\nkind: B\n", "4:1", "name: expected"],
  ])("%s is refused with its place", (name, text, place, words) => {
    if (place === "" && name !== "no document") {
      expect(() => decodeText(yaml, text)).toThrow(
        expect.objectContaining({ code: "FORMAT_INVALID", line: expect.any(Number), column: expect.any(Number) }),
      );
      expect(() => decodeText(yaml, text)).toThrow(new RegExp(words, "i"));
      return;
    }
    expectRefused(yaml, text, place, words);
  });

  test("64 levels are read, 65 and a million are refused, in each notation and through aliases", () => {
    const flow = (levels: number): string => `kind: A\nname: a\nx: ${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}`;
    expect(decodeText(yaml, flow(64))).toHaveLength(1);
    expectRefused(yaml, flow(65), "3:67", "more than 64 levels");
    expectRefused(yaml, "- ".repeat(1_000_000), "1:129", "more than 64 levels");
    expectRefused(yaml, "[".repeat(1_000_000), "1:65", "more than 64 levels");
    const half = `${"[".repeat(40)}${"]".repeat(40)}`;
    expectRefused(
      yaml,
      `kind: A\nname: a\nx: &x ${half}\ny: ${"[".repeat(40)}*x${"]".repeat(40)}`,
      "4:44",
      "more than 64 levels",
    );
  });

  test("a text of more words and marks than anybody writes is refused before it is read whole", () => {
    expect(() => decodeText(yaml, `kind: A\nname: a\nx: [${",".repeat(500_000)}]`)).toThrow(
      expect.objectContaining({
        code: "FORMAT_INVALID",
        message: expect.stringContaining("more than 400000 words and marks"),
        line: 3,
      }),
    );
  });

  test("aliases that stay small are no bomb", () => {
    expect(decodeText(yaml, billionLaughs(4))).toHaveLength(1);
  });

  test("more than 4,096 documents are refused", () => {
    expect(decodeText(yaml, "---\nkind: A\nname: a\n".repeat(4096))).toHaveLength(4096);
    expect(() => yaml.decode(bytesOf("---\nkind: A\nname: a\n".repeat(4097)), "x.yaml")).toThrow(
      "x.yaml: more than 4096 documents",
    );
  });

  test("bytes that are no YAML never raise anything but FORMAT_INVALID", () => {
    const piece = fc.constantFrom(
      "kind: A\n",
      "name: a\n",
      "- ",
      "? ",
      ": ",
      "{",
      "}",
      "[",
      "]",
      ",",
      "&a ",
      "*a ",
      "!t ",
      "|\n",
      ">-\n",
      "'",
      '"',
      "#",
      "---\n",
      "...\n",
      "%YAML 1.2\n",
      "\t",
      "  ",
      "\n",
      "x",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc.array(piece, { maxLength: 30 }).map((pieces) => bytesOf(pieces.join(""))),
        ),
        (bytes) => {
          try {
            yaml.decode(bytes, "fuzz");
          } catch (error) {
            expect(error).toMatchObject({ code: "FORMAT_INVALID" });
          }
        },
      ),
      { numRuns: 1500 },
    );
  });
});
