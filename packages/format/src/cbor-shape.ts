import { maxDepth, PlainFault } from "./plain.ts";

/** An envelope is a list around the value: one level more than a value may have. */
const maxEnvelopeDepth = maxDepth + 1;

/**
 * Where the CBOR item that begins at `offset` ends. Walks heads only, without recursion and without allocating by what they claim, and refuses
 * deep nesting, tags and indefinite lengths: the decoder proper recurses.
 */
export function envelopeEnd(bytes: Uint8Array, offset: number): number {
  const expected = [1];
  let end = offset;
  while (expected.length > 0) {
    const left = expected[expected.length - 1] as number;
    if (left === 0) {
      expected.pop();
      continue;
    }
    expected[expected.length - 1] = left - 1;
    const head = readHead(bytes, end);
    end = head.end + (head.major === 2 || head.major === 3 ? head.argument : 0);
    if (end > bytes.length) throw new PlainFault("the bytes end in the middle of an item");
    if (head.major !== 4 && head.major !== 5) continue;
    const items = head.major === 4 ? head.argument : head.argument * 2;
    if (items > bytes.length - end) throw new PlainFault("a list or map claims more items than there are bytes");
    if (expected.length > maxEnvelopeDepth) throw new PlainFault(`more than ${maxDepth} levels`);
    expected.push(items);
  }
  return end;
}

function readHead(
  bytes: Uint8Array,
  offset: number,
): { readonly major: number; readonly argument: number; readonly end: number } {
  const first = bytes[offset];
  if (first === undefined) throw new PlainFault("the bytes end in the middle of an item");
  const major = first >> 5;
  const minor = first & 31;
  if (major === 6) throw new PlainFault("tags are refused");
  if (minor > 27) throw new PlainFault("indefinite lengths are refused");
  if (minor < 24) return { major, argument: minor, end: offset + 1 };
  const width = 2 ** (minor - 24);
  if (offset + 1 + width > bytes.length) throw new PlainFault("the bytes end in the middle of an item");
  // Beyond 2^53 it is inexact, and larger than any body all the same.
  let argument = 0;
  for (let index = 1; index <= width; index += 1) argument = argument * 256 + (bytes[offset + index] as number);
  return { major, argument, end: offset + 1 + width };
}
