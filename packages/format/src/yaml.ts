import type { FormatAdapter, PlainValue, ResourceDocument } from "@revoada/fabric";
import { formatResourceRef } from "@revoada/fabric";
import type { CST, Document } from "yaml";
import { Composer, Lexer, LineCounter, Parser, stringify } from "yaml";
import type { TextPosition } from "./errors.ts";
import { FormatInvalidError } from "./errors.ts";
import { maxDepth, maxDocuments, PlainFault, toPlain } from "./plain.ts";
import { resourceOf } from "./resource-identity.ts";
import { decodeText } from "./text.ts";
import { checkOpenDepth, checkYamlDepth, YamlFault, yamlValue } from "./yaml-text.ts";

const encoder = new TextEncoder();

/**
 * What the lexer may make of one body. Each costs some 3 µs of a thread that does nothing else meanwhile, so 3 MiB of single characters would hold up a
 * whole node for seconds; texts that people write have fewer.
 */
const maxLexemes = 400_000;

const composeOptions = {
  version: "1.2",
  schema: "core",
  strict: true,
  merge: false,
  resolveKnownTags: false,
  customTags: null,
  // Judged by the walker: the composer compares each key with each other one.
  uniqueKeys: false,
  // So that what is beyond 2^53 - 1 is seen before it is rounded.
  intAsBigInt: true,
} as const;

const writeOptions = {
  version: "1.2",
  schema: "core",
  // What readers of YAML 1.1 would take for something else (yes, on, 1:30) is put in quotes.
  compat: "yaml-1.1",
  aliasDuplicateObjects: false,
  lineWidth: 0,
} as const;

/**
 * YAML 1.2, core schema, several documents per body; empty ones are passed over. Refused: keys that stand twice or are not text, merge keys,
 * tags beyond the core schema, `%YAML` of another version, aliases that blow up, infinities and numbers that would be rounded.
 */
export function yamlFormat(): FormatAdapter {
  return { format: "yaml", decode, encode };
}

function decode(bytes: Uint8Array, source: string): readonly ResourceDocument[] {
  const text = decodeText(bytes, source);
  const lines = new LineCounter();
  const place = (offset: number): TextPosition => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const documents: ResourceDocument[] = [];
  try {
    for (const document of compose(text, lines)) {
      const value = yamlValue(document);
      // A document of comments alone, as manifests that are put together have them.
      if (value === null) continue;
      if (documents.length === maxDocuments)
        throw new FormatInvalidError(source, `more than ${maxDocuments} documents`);
      documents.push(documentOf(document, value));
    }
  } catch (error) {
    if (error instanceof YamlFault) throw new FormatInvalidError(source, error.message, place(error.offset));
    throw error;
  }
  if (documents.length === 0) throw new FormatInvalidError(source, "there is no document");
  return documents;
}

/** One document after another, each checked for depth before it is composed and for errors after. */
function* compose(text: string, lines: LineCounter): Generator<Document.Parsed> {
  const composer = new Composer(composeOptions);
  for (const token of parse(text, lines)) {
    if (token.type === "document") checkYamlDepth(token);
    for (const document of composer.next(token)) yield checkedDocument(document);
  }
  for (const document of composer.end()) yield checkedDocument(document);
  // Errors outside of any document, a stray directive for one.
  const { errors } = composer.streamInfo();
  const [first] = errors;
  if (first !== undefined) throw new YamlFault(messageOf(first), first.pos[0]);
}

/** Stops as soon as a text is too deep or too dense: it is refused all the same. */
function* parse(text: string, lines: LineCounter): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    count += 1;
    if (count > maxLexemes)
      throw new YamlFault(`more than ${maxLexemes} words and marks, use json or native`, parser.offset);
    yield* parser.next(lexeme);
    if (parser.stack.length > maxDepth) checkOpenDepth(parser.stack);
  }
  yield* parser.end();
}

function checkedDocument(document: Document.Parsed): Document.Parsed {
  const first = document.errors[0] ?? document.warnings[0];
  if (first !== undefined) throw new YamlFault(messageOf(first), first.pos[0]);
  const { explicit, version } = document.directives.yaml;
  if (explicit === true && version !== "1.2") throw new YamlFault(`YAML ${version}, expected 1.2`, document.range[0]);
  return document;
}

function messageOf(error: { readonly message: string }): string {
  const line = error.message.split("\n")[0] ?? "";
  return line.charAt(0).toLowerCase() + line.slice(1);
}

function documentOf(document: Document.Parsed, value: PlainValue): ResourceDocument {
  try {
    return { ref: resourceOf(value), value };
  } catch (error) {
    if (!(error instanceof PlainFault)) throw error;
    throw new YamlFault(error.message, document.contents?.range[0] ?? document.range[0]);
  }
}

function encode(documents: readonly ResourceDocument[]): Uint8Array {
  return encoder.encode(documents.map(textOf).join("---\n"));
}

function textOf({ ref, value }: ResourceDocument): string {
  let plain: PlainValue;
  try {
    plain = toPlain(value, { bytes: false });
  } catch (error) {
    if (error instanceof PlainFault) throw new FormatInvalidError(formatResourceRef(ref), error.message);
    throw error;
  }
  return stringify(plain, writeOptions);
}
