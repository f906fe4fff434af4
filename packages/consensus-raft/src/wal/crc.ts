import { crc32 as nativeCrc32 } from "node:zlib";
import { InvariantError } from "@revoada/fabric";

/**
 * CRC-32 (ISO-HDLC, the polynomial of zlib).
 *
 * Node brings a vectorised one, so the log needs no native dependency for it. Crossing into native code costs more than a few
 * dozen bytes take in JavaScript, therefore short ranges are done here, four bytes a step, and longer ones there. That both give the
 * published check value is seen to when the module is loaded: a log that was written with another polynomial would be lost.
 */
const nativeFromBytes = 64;

const tables: readonly Uint32Array[] = buildTables();
const table0 = tables[0] as Uint32Array;
const table1 = tables[1] as Uint32Array;
const table2 = tables[2] as Uint32Array;
const table3 = tables[3] as Uint32Array;

function buildTables(): Uint32Array[] {
  const built = [new Uint32Array(256), new Uint32Array(256), new Uint32Array(256), new Uint32Array(256)];
  const first = built[0] as Uint32Array;
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    first[byte] = value;
  }
  for (let slice = 1; slice < 4; slice++) {
    const before = built[slice - 1] as Uint32Array;
    const table = built[slice] as Uint32Array;
    for (let byte = 0; byte < 256; byte++) {
      const value = before[byte] as number;
      table[byte] = (value >>> 8) ^ (first[value & 0xff] as number);
    }
  }
  return built;
}

/** CRC-32 of `bytes[from, to)`, continuing from `seed`; for short ranges. */
export function crcOfRange(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let crc = ~seed;
  let at = from;
  // Reads inside [from, to) are in bounds by construction, which the index signature cannot say.
  for (const end = to - 3; at < end; at += 4) {
    crc ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    crc =
      (table3[crc & 0xff] as number) ^
      (table2[(crc >>> 8) & 0xff] as number) ^
      (table1[(crc >>> 16) & 0xff] as number) ^
      (table0[crc >>> 24] as number);
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ (table0[(crc ^ (bytes[at] as number)) & 0xff] as number);
  return ~crc >>> 0;
}

/** CRC-32 of all of `bytes`, continuing from `seed`. */
export function crcOf(bytes: Uint8Array, seed: number): number {
  return bytes.length < nativeFromBytes ? crcOfRange(bytes, 0, bytes.length, seed) : nativeCrc32(bytes, seed);
}

/** Continues `seed` with the four bytes of `value`, little-endian. */
export function crcOfUint32(value: number, seed: number): number {
  const crc = ~seed ^ value;
  return (
    ~(
      (table3[crc & 0xff] as number) ^
      (table2[(crc >>> 8) & 0xff] as number) ^
      (table1[(crc >>> 16) & 0xff] as number) ^
      (table0[crc >>> 24] as number)
    ) >>> 0
  );
}

/** What the CRC of the digits 1 to 9 must be, whoever computes it. */
const checkValue = 0xcbf43926;

function checkAgainst(value: number, by: string): void {
  if (value !== checkValue)
    throw new InvariantError(`the CRC-32 ${by} gives ${value.toString(16)} for the check digits`);
}

const checkDigits = Uint8Array.from("123456789", (digit) => digit.charCodeAt(0));
checkAgainst(nativeCrc32(checkDigits, 0), "of this Node.js");
checkAgainst(crcOfRange(checkDigits, 0, checkDigits.length, 0), "of this package");
