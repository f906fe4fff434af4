const digits = "0123456789abcdef";

/** Lower-case hex of bytes. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += digits.charAt(byte >>> 4) + digits.charAt(byte & 15);
  return text;
}

function digitOf(code: number): number {
  return code < 58 ? code - 48 : code - 87;
}

/** Bytes of checked, lower-case hex of even length. */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >>> 1);
  for (let index = 0; index < bytes.length; index++) {
    bytes[index] = (digitOf(text.charCodeAt(index * 2)) << 4) | digitOf(text.charCodeAt(index * 2 + 1));
  }
  return bytes;
}

/** Lexicographic order of byte strings; 0 where they are equal. */
export function compareBytes(left: Uint8Array, right: Uint8Array): number {
  if (left === right) return 0;
  const shared = Math.min(left.length, right.length);
  for (let index = 0; index < shared; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** Length in UTF-8. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return length;
}
