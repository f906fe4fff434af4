import { defaultFormats, formatRegistry, jsonFormat, yamlFormat } from "@revoada/format";
import { expect, test } from "vitest";

test("the default registry speaks yaml, json and native", () => {
  const formats = defaultFormats();
  expect(formats.formats()).toEqual(["yaml", "json", "native"]);
  for (const format of formats.formats()) expect(formats.get(format).format).toBe(format);
});

test("a format that nobody speaks is refused by name, with those that are there", () => {
  const unsupported = {
    code: "FORMAT_UNSUPPORTED",
    message: 'format "hcl" is not supported, expected one of yaml, json',
  };
  expect(() => formatRegistry([yamlFormat(), jsonFormat()]).get("hcl")).toThrow(expect.objectContaining(unsupported));
  for (const name of ["__proto__", "constructor", "", undefined as never]) {
    expect(() => defaultFormats().get(name)).toThrow(expect.objectContaining({ code: "FORMAT_UNSUPPORTED" }));
  }
});

test("two adapters for one format are refused", () => {
  expect(() => formatRegistry([jsonFormat(), jsonFormat()])).toThrow(
    expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
  );
});
