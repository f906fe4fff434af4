/** Deepest nesting of what travels: a document has 64 levels, and stands in an answer, an item and a frame. */
const maxDepth = 72;

/** Why bytes are not what travels here. */
export class WireFault extends Error {}

/** Items that a list or map still lacks; of a map, keys and values count one each. */
interface Open {
  left: number;
  readonly isMap: boolean;
}

/**
 * Throws {@link WireFault} unless the bytes are exactly one CBOR item of plain data: definite lengths, text keys, no tags, no whole numbers
 * beyond 2^53 - 1, bounded depth. Walks heads only, without recursion and without allocating by what they claim; the decoder proper does both.
 */
export function checkShape(bytes: Uint8Array): void {
  const open: Open[] = [{ left: 1, isMap: false }];
  let end = 0;
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    if (top.left === 0) {
      open.pop();
      continue;
    }
    const isKey = top.isMap && top.left % 2 === 0;
    top.left--;
    const head = readHead(bytes, end);
    if (isKey && head.major !== 3) throw new WireFault("a key is not text");
    end = head.end + (head.major === 2 || head.major === 3 ? head.argument : 0);
    if (end > bytes.length) throw new WireFault("the bytes end in the middle of an item");
    if (head.major !== 4 && head.major !== 5) continue;
    const left = head.major === 4 ? head.argument : head.argument * 2;
    if (left > bytes.length - end) throw new WireFault("a list or map claims more items than there are bytes");
    if (open.length > maxDepth) throw new WireFault(`more than ${maxDepth} levels`);
    open.push({ left, isMap: head.major === 5 });
  }
  if (end !== bytes.length) throw new WireFault("bytes follow the item");
}

function readHead(
  bytes: Uint8Array,
  offset: number,
): { readonly major: number; readonly argument: number; readonly end: number } {
  const first = bytes[offset];
  if (first === undefined) throw new WireFault("the bytes end in the middle of an item");
  const major = first >> 5;
  const minor = first & 31;
  if (major === 6) throw new WireFault("tags are refused");
  if (minor > 27) throw new WireFault("indefinite lengths are refused");
  // Of the simple values: false, true, null, undefined, and floats of 2, 4 and 8 bytes.
  if (major === 7 && (minor < 20 || minor === 24)) throw new WireFault("a simple value is refused");
  const width = minor < 24 ? 0 : 2 ** (minor - 24);
  const end = offset + 1 + width;
  if (end > bytes.length) throw new WireFault("the bytes end in the middle of an item");
  if (width === 0) return { major, argument: minor, end };
  let argument = 0;
  for (let at = offset + 1; at < end; at++) argument = argument * 256 + (bytes[at] as number);
  if (major < 2 && argument > Number.MAX_SAFE_INTEGER) throw new WireFault("a number is beyond 2^53 - 1");
  return { major, argument, end };
}
