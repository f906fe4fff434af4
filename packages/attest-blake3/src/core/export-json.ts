import { describeValue } from "@revoada/fabric";
import { fromBase64url, toBase64url } from "./base64url.ts";
import { readBlock } from "./block.ts";
import type { ChainExport } from "./chain-export.ts";
import { encodeExport, readExport, recordKinds } from "./chain-export.ts";
import type { ChainRecord, ChainRecordKind } from "./chain-file.ts";
import { openCheckpoint } from "./checkpoint.ts";
import { readCommand } from "./command.ts";
import { readCosignature } from "./cosignature.ts";
import { decodingAt, faultOf, refuse } from "./faults.ts";
import { domainOf } from "./fields.ts";
import { openGenesis } from "./genesis.ts";
import { maxJsonBytes } from "./limits.ts";
import { openHop } from "./hop.ts";
import { readSeal } from "./seal.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const decoder = new TextDecoder("utf-8", { fatal: true });
const space = new Set([" ", "\t", "\n", "\r"]);
const anySignature = { verify: (): boolean => true };

/** True where bytes can be nothing but a JSON object. */
export function beginsAsJson(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => !space.has(String.fromCodePoint(byte)));
  return first === 0x7b;
}

/**
 * The JSON form of a signed export: each record as its exact bytes in base64url, and beside them what they say, for readers. One export has one
 * such text. Throws `CHAIN_INVALID` for bytes that are no export, or whose records say nothing.
 */
export function exportToJson(bytes: Uint8Array): string {
  return textOf(jsonOf(readExport(bytes)));
}

/** One line for each record, so that texts can be compared line by line. */
function textOf({ records, ...rest }: JsonExport): string {
  const { signature, ...head } = rest;
  const lines = Object.entries(head).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)},`);
  const list = records.map((record) => JSON.stringify(record)).join(",\n");
  return `{\n${lines.join("\n")}\n"records":[\n${list}\n],\n"signature":${JSON.stringify(signature)}\n}\n`;
}

interface JsonRecord {
  readonly kind: ChainRecordKind;
  readonly bytes: string;
  readonly says: Json;
}

interface JsonExport {
  readonly format: string;
  readonly cluster: string;
  readonly exporter: string;
  readonly exportedMs: number;
  readonly from: number;
  readonly to: number;
  readonly records: readonly JsonRecord[];
  readonly signature: string;
}

function jsonOf(parts: ChainExport): JsonExport {
  return {
    format: domainOf("export"),
    cluster: parts.clusterId,
    exporter: parts.exporter,
    exportedMs: parts.exportedMs,
    from: parts.from,
    to: parts.to,
    records: parts.records.map(jsonOfRecord),
    signature: toBase64url(parts.signature),
  };
}

function jsonOfRecord({ kind, bytes }: ChainRecord, index: number): JsonRecord {
  try {
    return { kind, bytes: toBase64url(bytes), says: plainOf(saidBy(kind, bytes)) };
  } catch (error) {
    const { reason, height, message } = faultOf(error, 0);
    return refuse(reason, height, `$.records[${index}].bytes: ${message}`);
  }
}

/** What a record says. Who signed what is not judged. */
function saidBy(kind: ChainRecordKind, bytes: Uint8Array): unknown {
  switch (kind) {
    case "genesis": {
      const { bytes: _bytes, ...said } = openGenesis(bytes, anySignature);
      return said;
    }
    case "block": {
      const { header: _header, command, ...said } = readBlock(bytes, 0);
      return command === undefined ? said : { ...said, command: readCommand(command) };
    }
    case "seal":
      return readSeal(bytes);
    case "cosignature":
      return readCosignature(bytes);
    case "hop": {
      const { head, state, seal } = openHop(bytes);
      return seal === undefined ? { head, state } : { head, state, seal };
    }
    case "checkpoint": {
      const { genesis, head, parts } = openCheckpoint(bytes, anySignature);
      const { formation, timeMs } = parts.state;
      const { generation, nodes, tombstones } = formation;
      const counts = { nodes: nodes.size, tombstones: tombstones.size };
      const { height, hash } = head;
      return { clusterId: genesis.clusterId, height, hash, generation, timeMs, ...counts, sealers: parts.sealers };
    }
  }
}

function plainOf(value: unknown): Json {
  if (value instanceof Uint8Array) return toBase64url(value);
  if (Array.isArray(value)) return value.map(plainOf);
  if (typeof value !== "object" || value === null) return value as Json;
  const said = Object.entries(value).filter(([, item]) => item !== undefined);
  return Object.fromEntries(said.map(([key, item]) => [key, plainOf(item)]));
}

/**
 * The CBOR form of an export in JSON, byte for byte the one that the JSON was made of. What stands beside the records' bytes has to be what they
 * say, to the last field; spaces and line breaks between them may differ. Throws `CHAIN_INVALID` with `malformed` and the path of what is wrong.
 */
export function exportFromJson(json: Uint8Array | string): Uint8Array {
  const text = decodedText(json);
  const given = parsed(text);
  const bytes = decodingAt(0, "malformed", () => encodeExport(readGiven(given)));
  const expected = jsonOf(readExport(bytes));
  checkSame(given, expected as unknown as Json, "$");
  if (!sameButForSpace(text, textOf(expected)))
    wrong("$", "the fields once each, in their order and shortest form", "another text of the same values");
  return bytes;
}

function decodedText(json: Uint8Array | string): string {
  if (json.length > maxJsonBytes)
    refuse("malformed", 0, `${json.length} bytes of JSON, expected at most ${maxJsonBytes}`);
  if (typeof json === "string") return json;
  try {
    return decoder.decode(json);
  } catch {
    return refuse("malformed", 0, "the JSON is not UTF-8");
  }
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    return refuse("malformed", 0, `not JSON: ${error instanceof Error ? error.message : "unknown cause"}`);
  }
}

function wrong(path: string, expected: string, got: string): never {
  return refuse("malformed", 0, `${path}: expected ${expected}, got ${got}`);
}

/** Takes from the JSON what the bytes are made of; all else is compared afterwards with what these say. */
function readGiven(given: Json): ChainExport {
  const root = objectAt(given, "$");
  if (root["format"] !== domainOf("export")) wrong("$.format", domainOf("export"), describeValue(root["format"]));
  const records = root["records"];
  if (!Array.isArray(records)) return wrong("$.records", "a list", describeValue(records));
  return {
    clusterId: textAt(root, "cluster", "$") as ChainExport["clusterId"],
    exporter: textAt(root, "exporter", "$") as ChainExport["exporter"],
    exportedMs: numberAt(root, "exportedMs"),
    from: numberAt(root, "from"),
    to: numberAt(root, "to"),
    records: (records as readonly Json[]).map((record, index) => {
      const path = `$.records[${index}]`;
      const fields = objectAt(record, path);
      const kind = recordKinds.find((each) => each === fields["kind"]);
      if (kind === undefined) return wrong(`${path}.kind`, recordKinds.join(", "), describeValue(fields["kind"]));
      return { kind, bytes: bytesAt(fields, "bytes", path) };
    }),
    signature: bytesAt(root, "signature", "$"),
  };
}

type JsonObject = { readonly [key: string]: Json | undefined };

function objectAt(value: Json, path: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return wrong(path, "an object", describeValue(value));
  return value as JsonObject;
}

function textAt(fields: JsonObject, key: string, path: string): string {
  const value = fields[key];
  return typeof value === "string" ? value : wrong(`${path}.${key}`, "a text", describeValue(value));
}

function numberAt(fields: JsonObject, key: string): number {
  const value = fields[key];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  return wrong(`$.${key}`, "a whole number", describeValue(value));
}

function bytesAt(fields: JsonObject, key: string, path: string): Uint8Array {
  return (
    fromBase64url(textAt(fields, key, path)) ?? wrong(`${path}.${key}`, "base64url without padding", "another text")
  );
}

/** Walks along what is expected, whose depth is known, and never deeper into what was given. */
function checkSame(given: Json | undefined, expected: Json, path: string): void {
  if (typeof expected !== "object" || expected === null) {
    if (!Object.is(given, expected)) wrong(path, describeValue(expected), describeValue(given));
    return;
  }
  if (given === undefined) return wrong(path, describeValue(expected), "nothing");
  if (Array.isArray(expected)) {
    if (!Array.isArray(given)) return wrong(path, "a list", describeValue(given));
    if (given.length !== expected.length) wrong(path, `a list of ${expected.length}`, `a list of ${given.length}`);
    for (const [index, item] of (expected as readonly Json[]).entries())
      checkSame((given as readonly Json[])[index], item, `${path}[${index}]`);
    return;
  }
  const fields = objectAt(given, path);
  for (const [key, item] of Object.entries(expected)) checkSame(fields[key], item, `${path}.${key}`);
  const extra = Object.keys(fields).find((key) => !Object.hasOwn(expected, key));
  if (extra !== undefined) wrong(path, "no other fields", describeValue(extra));
}

/** True where two texts of JSON differ in nothing but space between their parts. */
function sameButForSpace(left: string, right: string): boolean {
  const [rest, others] = [new Parts(left), new Parts(right)];
  for (;;) {
    const part = rest.next();
    if (part !== others.next()) return false;
    if (part === undefined) return true;
  }
}

/** Gives a text of JSON character by character, without the space between its parts. */
class Parts {
  readonly #text: string;
  #at = 0;
  #isWithinText = false;
  #isEscaped = false;

  constructor(text: string) {
    this.#text = text;
  }

  next(): string | undefined {
    if (!this.#isWithinText) while (space.has(this.#text[this.#at] ?? "")) this.#at += 1;
    const character = this.#text[this.#at];
    this.#at += 1;
    if (character === '"' && !this.#isEscaped) this.#isWithinText = !this.#isWithinText;
    this.#isEscaped = character === "\\" && !this.#isEscaped;
    return character;
  }
}
