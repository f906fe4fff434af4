/**
 * As much of the encoding of Protocol Buffers as the few messages of etcd need: fields that hold bytes, and variable-length
 * integers (https://protobuf.dev/programming-guides/encoding/).
 */

/** A field of a message: its number, and bytes or an integer. */
export type Field = readonly [number: number, value: Uint8Array | number | bigint | boolean];

function pushVarint(into: number[], value: bigint): void {
  let rest = value;
  while (rest > 0x7fn) {
    into.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  into.push(Number(rest));
}

/** Encodes a message. */
export function encodeMessage(fields: readonly Field[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const [number, value] of fields) {
    const head: number[] = [];
    if (value instanceof Uint8Array) {
      pushVarint(head, BigInt(number) * 8n + 2n);
      pushVarint(head, BigInt(value.length));
      parts.push(Uint8Array.from(head), value);
    } else {
      pushVarint(head, BigInt(number) * 8n);
      pushVarint(head, BigInt(value));
      parts.push(Uint8Array.from(head));
    }
  }
  return Buffer.concat(parts);
}

/** Fields of a message, the last of each number. */
export type Fields = ReadonlyMap<number, Uint8Array | bigint>;

function readVarint(bytes: Uint8Array, from: number): readonly [value: bigint, end: number] {
  let value = 0n;
  for (let at = from; at < Math.min(bytes.length, from + 10); at += 1) {
    const byte = bytes[at] as number;
    value |= BigInt(byte & 0x7f) << BigInt(7 * (at - from));
    if (byte < 0x80) return [value, at + 1];
  }
  throw new Error(`a variable-length integer at ${from} has no end`);
}

/** Decodes a message. Throws where bytes are none. */
export function decodeMessage(bytes: Uint8Array): Fields {
  const fields = new Map<number, Uint8Array | bigint>();
  let at = 0;
  while (at < bytes.length) {
    const [tag, afterTag] = readVarint(bytes, at);
    const number = Number(tag >> 3n);
    const kind = Number(tag & 7n);
    if (kind === 0) {
      const [value, end] = readVarint(bytes, afterTag);
      fields.set(number, value);
      at = end;
    } else if (kind === 2) {
      const [length, start] = readVarint(bytes, afterTag);
      at = start + Number(length);
      if (at > bytes.length) throw new Error(`field ${number} reaches beyond the message`);
      fields.set(number, bytes.subarray(start, at));
    } else if (kind === 1 || kind === 5) {
      at = afterTag + (kind === 1 ? 8 : 4);
    } else {
      throw new Error(`field ${number} is of the unknown kind ${kind}`);
    }
  }
  return fields;
}

/** The bytes of a field; none where it is missing, as the encoding has it. */
export function bytesOf(fields: Fields, number: number): Uint8Array {
  const value = fields.get(number);
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

/** The integer of a field; 0 where it is missing, as the encoding has it. */
export function integerOf(fields: Fields, number: number): bigint {
  const value = fields.get(number);
  return typeof value === "bigint" ? value : 0n;
}
