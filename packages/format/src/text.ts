import type { TextPosition } from "./errors.ts";
import { FormatInvalidError } from "./errors.ts";
import { maxDocumentBytes } from "./plain.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** The text in UTF-8 bytes of bounded size. Throws `FORMAT_INVALID`. */
export function decodeText(bytes: Uint8Array, source: string): string {
  checkSize(bytes, source);
  try {
    return decoder.decode(bytes);
  } catch {
    throw new FormatInvalidError(source, "the bytes are not UTF-8");
  }
}

export function checkSize(bytes: Uint8Array, source: string): void {
  if (bytes.length <= maxDocumentBytes) return;
  throw new FormatInvalidError(source, `${bytes.length} bytes, expected at most ${maxDocumentBytes}`);
}

/** Line and column of an offset. */
export function positionOf(text: string, offset: number): TextPosition {
  let line = 1;
  let lineStart = 0;
  for (let end = text.indexOf("\n"); end !== -1 && end < offset; end = text.indexOf("\n", end + 1)) {
    line += 1;
    lineStart = end + 1;
  }
  return { line, column: offset - lineStart + 1 };
}
