import { describeValue, FabricError } from "@revoada/fabric";

/** Where in a text something stands; lines and columns count from 1, columns in UTF-16 units. */
export interface TextPosition {
  readonly line: number;
  readonly column: number;
}

/** Bytes that are not what their format says, or a value that a format cannot say. */
export class FormatInvalidError extends FabricError {
  /** A file name, an address, or what else the caller called it. */
  readonly source: string;
  readonly line?: number;
  readonly column?: number;

  constructor(source: string, reason: string, position?: TextPosition) {
    super(
      "FORMAT_INVALID",
      `${source}${position === undefined ? "" : `:${position.line}:${position.column}`}: ${reason}`,
    );
    this.source = source;
    if (position === undefined) return;
    this.line = position.line;
    this.column = position.column;
  }
}

/** A format for which there is no adapter. */
export class FormatUnsupportedError extends FabricError {
  readonly format: unknown;
  readonly supported: readonly string[];

  constructor(format: unknown, supported: readonly string[]) {
    super(
      "FORMAT_UNSUPPORTED",
      `format ${describeValue(format)} is not supported, expected one of ${supported.join(", ")}`,
    );
    this.format = format;
    this.supported = supported;
  }
}
