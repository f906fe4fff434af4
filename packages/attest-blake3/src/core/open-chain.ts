import type { ChainExport } from "./chain-export.ts";
import { beginsAsExport, readExport } from "./chain-export.ts";
import type { ChainRecord } from "./chain-file.ts";
import { ChainFileReader, readChainFile } from "./chain-file.ts";
import { beginsAsJson, exportFromJson } from "./export-json.ts";

/** Gives a chain record by record, whatever form it came in. Refuses with `CHAIN_INVALID`, at the height that it is told. */
export interface ChainReader {
  /** The next record, each a view; undefined after the last one. */
  next(height: number): ChainRecord | undefined;
  /** Where the chain is an export: what it says of itself, and its bytes in CBOR. */
  readonly exported?: { readonly parts: ChainExport; readonly bytes: Uint8Array };
}

/** Opens a chain file, or a signed export in CBOR or JSON. Throws `CHAIN_INVALID` for anything else. */
export function openChain(bytes: Uint8Array): ChainReader {
  const file = beginsAsJson(bytes) ? exportFromJson(bytes) : bytes;
  if (!beginsAsExport(file)) return new ChainFileReader(file);
  const parts = readExport(file);
  let place = 0;
  return {
    exported: { parts, bytes: file },
    next: () => parts.records[place++],
  };
}

/** The records of a chain in any form, in order; who signed what is not judged. Throws `CHAIN_INVALID`. */
export function readChain(bytes: Uint8Array): readonly ChainRecord[] {
  return openChain(bytes).exported?.parts.records ?? readChainFile(bytes);
}

/** The form of a signed export, by how it begins; undefined for a chain file, which nobody signed as a whole, and for anything else. */
export function exportForm(bytes: Uint8Array): "cbor" | "json" | undefined {
  if (beginsAsExport(bytes)) return "cbor";
  return beginsAsJson(bytes) ? "json" : undefined;
}
