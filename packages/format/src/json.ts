import type { FormatAdapter, PlainValue, ResourceDocument } from "@revoada/fabric";
import { formatResourceRef } from "@revoada/fabric";
import { FormatInvalidError } from "./errors.ts";
import { JsonReader } from "./json-text.ts";
import { maxDocuments, PlainFault, toPlain } from "./plain.ts";
import { resourceOf } from "./resource-identity.ts";
import { decodeText, positionOf } from "./text.ts";

const encoder = new TextEncoder();

/**
 * JSON: one object, several one after another, or a list of them. One document is written as an object, several as a list, by two
 * spaces.
 */
export function jsonFormat(): FormatAdapter {
  return { format: "json", decode, encode };
}

function decode(bytes: Uint8Array, source: string): readonly ResourceDocument[] {
  const text = decodeText(bytes, source);
  const reader = new JsonReader(text, source);
  const documents: ResourceDocument[] = [];
  const add = (value: PlainValue, offset: number): void => {
    if (documents.length === maxDocuments) throw new FormatInvalidError(source, `more than ${maxDocuments} documents`);
    documents.push(documentOf(value, source, text, offset));
  };
  for (let offset = reader.nextOffset(); offset !== undefined; offset = reader.nextOffset()) {
    if (text[offset] !== "[") add(reader.value(), offset);
    else for (const item of reader.items()) add(item.value, item.offset);
  }
  if (documents.length === 0) throw new FormatInvalidError(source, "there is no document");
  return documents;
}

function documentOf(value: PlainValue, source: string, text: string, offset: number): ResourceDocument {
  try {
    return { ref: resourceOf(value), value };
  } catch (error) {
    if (error instanceof PlainFault) throw new FormatInvalidError(source, error.message, positionOf(text, offset));
    throw error;
  }
}

function encode(documents: readonly ResourceDocument[]): Uint8Array {
  const values = documents.map(({ ref, value }) => {
    try {
      return toPlain(value, { bytes: false });
    } catch (error) {
      if (error instanceof PlainFault) throw new FormatInvalidError(formatResourceRef(ref), error.message);
      throw error;
    }
  });
  return encoder.encode(`${JSON.stringify(values.length === 1 ? values[0] : values, null, 2)}\n`);
}
