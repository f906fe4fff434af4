/**
 * BLAKE3 with 32 bytes of output, plain and keyed, as in the paper of O'Connor, Aumasson, Neves and Wilcox-O'Hearn (section 2).
 *
 * A chain is hashed in pieces of a few hundred bytes. Portable libraries make an object and several arrays for each of them, which takes longer
 * than the compressions; here one set of words is used again and again, and nothing is made but the 32 bytes that are returned.
 */
const chunkBytes = 1024;
const blockBytes = 64;

const chunkStart = 1;
const chunkEnd = 2;
const parent = 4;
const root = 8;
const keyed = 16;

const iv: Int32Array = Int32Array.of(
  0x6a09e667,
  0xbb67ae85,
  0x3c6ef372,
  0xa54ff53a,
  0x510e527f,
  0x9b05688c,
  0x1f83d9ab,
  0x5be0cd19,
);

// One thread, and no call of these functions within another: what is worked on can stand here.
const state = new Int32Array(16);
const words = new Int32Array(16);
/** Chaining values of whole subtrees, eight words each: at most one for each bit of the number of chunks. */
const stack = new Int32Array(54 * 8);
const chaining = new Int32Array(8);

function mix(a: number, b: number, c: number, d: number, x: number, y: number): void {
  let [va, vb, vc, vd] = [state[a] as number, state[b] as number, state[c] as number, state[d] as number];
  va = (va + vb + x) | 0;
  vd ^= va;
  vd = (vd >>> 16) | (vd << 16);
  vc = (vc + vd) | 0;
  vb ^= vc;
  vb = (vb >>> 12) | (vb << 20);
  va = (va + vb + y) | 0;
  vd ^= va;
  vd = (vd >>> 8) | (vd << 24);
  vc = (vc + vd) | 0;
  vb ^= vc;
  state[a] = va;
  state[b] = (vb >>> 7) | (vb << 25);
  state[c] = vc;
  state[d] = vd;
}

/** One round of section 2.2 over the words of the message in their order. */
function round(
  m0: number,
  m1: number,
  m2: number,
  m3: number,
  m4: number,
  m5: number,
  m6: number,
  m7: number,
  m8: number,
  m9: number,
  ma: number,
  mb: number,
  mc: number,
  md: number,
  me: number,
  mf: number,
): void {
  mix(0, 4, 8, 12, m0, m1);
  mix(1, 5, 9, 13, m2, m3);
  mix(2, 6, 10, 14, m4, m5);
  mix(3, 7, 11, 15, m6, m7);
  mix(0, 5, 10, 15, m8, m9);
  mix(1, 6, 11, 12, ma, mb);
  mix(2, 7, 8, 13, mc, md);
  mix(3, 4, 9, 14, me, mf);
}

/** Compresses the block in `words` into `chaining`: seven rounds, between which the permutation of section 2.2 is written out. */
function compress(counter: number, length: number, flags: number): void {
  for (let index = 0; index < 8; index += 1) state[index] = chaining[index] as number;
  for (let index = 0; index < 4; index += 1) state[index + 8] = iv[index] as number;
  state[12] = counter | 0;
  state[13] = Math.floor(counter / 2 ** 32);
  state[14] = length;
  state[15] = flags;
  const w0 = words[0] as number;
  const w1 = words[1] as number;
  const w2 = words[2] as number;
  const w3 = words[3] as number;
  const w4 = words[4] as number;
  const w5 = words[5] as number;
  const w6 = words[6] as number;
  const w7 = words[7] as number;
  const w8 = words[8] as number;
  const w9 = words[9] as number;
  const wa = words[10] as number;
  const wb = words[11] as number;
  const wc = words[12] as number;
  const wd = words[13] as number;
  const we = words[14] as number;
  const wf = words[15] as number;
  round(w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, wa, wb, wc, wd, we, wf);
  round(w2, w6, w3, wa, w7, w0, w4, wd, w1, wb, wc, w5, w9, we, wf, w8);
  round(w3, w4, wa, wc, wd, w2, w7, we, w6, w5, w9, w0, wb, wf, w8, w1);
  round(wa, w7, wc, w9, we, w3, wd, wf, w4, w0, wb, w2, w5, w8, w1, w6);
  round(wc, wd, w9, wb, wf, wa, we, w8, w7, w2, w5, w3, w0, w1, w6, w4);
  round(w9, we, wb, w5, w8, wc, wf, w1, wd, w3, w0, wa, w2, w6, w4, w7);
  round(wb, wf, w5, w0, w1, w9, w8, w6, we, wa, w2, wc, w3, w4, w7, wd);
  for (let index = 0; index < 8; index += 1) chaining[index] = (state[index] as number) ^ (state[index + 8] as number);
}

/** Puts up to 64 bytes into `words`, little-endian, zeros behind them. */
function load(bytes: Uint8Array, start: number, end: number): void {
  if (end - start === blockBytes) {
    for (let index = 0, at = start; index < 16; index += 1, at += 4) words[index] = littleEndian(bytes, at);
    return;
  }
  words.fill(0);
  for (let at = start; at < end; at += 1) {
    const offset = at - start;
    words[offset >> 2] = (words[offset >> 2] as number) | ((bytes[at] as number) << ((offset & 3) * 8));
  }
}

function littleEndian(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

function startFrom(key: Int32Array): void {
  for (let index = 0; index < 8; index += 1) chaining[index] = key[index] as number;
}

/** Leaves the chaining value of a chunk, or with `last` of the root the hash, in `chaining`. */
function chunk(
  bytes: Uint8Array,
  start: number,
  end: number,
  counter: number,
  key: Int32Array,
  flags: number,
  last = 0,
): void {
  startFrom(key);
  let at = start;
  let first = chunkStart;
  for (; end - at > blockBytes; at += blockBytes) {
    load(bytes, at, at + blockBytes);
    compress(counter, blockBytes, flags | first);
    first = 0;
  }
  load(bytes, at, end);
  compress(counter, end - at, flags | first | chunkEnd | last);
}

/** Leaves the value over the one at `left` of the stack and the one in `chaining` there. */
function join(left: number, key: Int32Array, flags: number): void {
  for (let index = 0; index < 8; index += 1) {
    words[index] = stack[left * 8 + index] as number;
    words[index + 8] = chaining[index] as number;
  }
  startFrom(key);
  compress(0, blockBytes, flags | parent);
}

function hashInto(bytes: Uint8Array, key: Int32Array, flags: number): void {
  const { length } = bytes;
  if (length <= chunkBytes) return chunk(bytes, 0, length, 0, key, flags, root);
  const lastChunk = Math.ceil(length / chunkBytes) - 1;
  let height = 0;
  for (let counter = 0; counter < lastChunk; counter += 1) {
    chunk(bytes, counter * chunkBytes, (counter + 1) * chunkBytes, counter, key, flags);
    // Each whole subtree of two equal halves is joined as soon as it is there.
    for (let total = counter + 1; total % 2 === 0; total /= 2) join((height -= 1), key, flags);
    stack.set(chaining, height * 8);
    height += 1;
  }
  chunk(bytes, lastChunk * chunkBytes, length, lastChunk, key, flags);
  while (height > 0) join((height -= 1), key, height === 0 ? flags | root : flags);
}

function output(): Uint8Array {
  const bytes = new Uint8Array(32);
  for (let index = 0; index < 8; index += 1) {
    const value = chaining[index] as number;
    bytes[index * 4] = value;
    bytes[index * 4 + 1] = value >>> 8;
    bytes[index * 4 + 2] = value >>> 16;
    bytes[index * 4 + 3] = value >>> 24;
  }
  return bytes;
}

/** A key for {@link blake3}, of 32 bytes, in the form that it is used in. */
export type Blake3Key = Int32Array;

export function blake3Key(bytes: Uint8Array): Blake3Key {
  return Int32Array.from({ length: 8 }, (_, index) => littleEndian(bytes, index * 4));
}

/** BLAKE3-256 of any bytes, with a key where one is given. */
export function blake3(bytes: Uint8Array, key?: Blake3Key): Uint8Array {
  if (key === undefined) hashInto(bytes, iv, 0);
  else hashInto(bytes, key, keyed);
  return output();
}
