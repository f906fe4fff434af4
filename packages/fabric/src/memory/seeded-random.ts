import { InvalidValueError } from "../errors.ts";
import type { Random } from "../seams/clock.ts";

/** A source of random values that one seed decides, with the draws that tests and simulations need. */
export interface SeededRandom extends Random {
  /** Uniform integer in [0, bound). */
  below(bound: number): number;
  /** True with this probability. */
  chance(probability: number): boolean;
  /** One element, uniformly. Throws `FABRIC_INVALID_VALUE` for an empty list. */
  pick<T>(items: readonly T[]): T;
  /** A shuffled copy (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): readonly T[];
  /**
   * An independent stream that depends on the seed and on `label` only, not on what was drawn so far: adding a consumer
   * leaves the draws of the others as they were.
   */
  fork(label: string): SeededRandom;
}

/** FNV-1a over UTF-16 code units, finished by murmur3's mixer: spreads labels over 32 bits. */
function hashLabel(text: string, start: number): number {
  let hash = (0x81_1c_9d_c5 ^ start) >>> 0;
  for (let position = 0; position < text.length; position += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(position), 0x01_00_01_93) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85_eb_ca_6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2_b2_ae_35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** splitmix32: fills the state, so that neighbouring seeds give unrelated streams. */
function splitmix(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e_37_79_b9) >>> 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21_f0_aa_ad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x73_5a_2d_97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

/** xoshiro128** (Blackman and Vigna), seeded by splitmix32. Not for secrets. */
export function seededRandom(seed: number | string): SeededRandom {
  const numericSeed = typeof seed === "string" ? hashLabel(seed, 0) : seed >>> 0;
  const fill = splitmix(numericSeed);
  let [a, b, c, d] = [fill(), fill(), fill(), fill()] as [number, number, number, number];

  const uint32 = (): number => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotate(d, 11);
    return result;
  };
  const float = (): number => uint32() / 0x1_00_00_00_00;

  return {
    uint32,
    float,
    bytes(length) {
      if (!Number.isSafeInteger(length) || length < 0 || length > 65_536) {
        throw new InvalidValueError("length", length, "an integer from 0 to 65,536");
      }
      const bytes = new Uint8Array(length);
      for (let position = 0; position < length; position += 1) bytes[position] = uint32() >>> 24;
      return bytes;
    },
    below(bound) {
      if (!Number.isSafeInteger(bound) || bound < 1) throw new InvalidValueError("bound", bound, "an integer from 1");
      return Math.floor(float() * bound);
    },
    chance: (probability) => float() < probability,
    pick(items) {
      if (items.length === 0) throw new InvalidValueError("items", items, "a list that is not empty");
      return items[Math.floor(float() * items.length)] as (typeof items)[number];
    },
    shuffle(items) {
      const shuffled = [...items];
      for (let last = shuffled.length - 1; last > 0; last -= 1) {
        const other = Math.floor(float() * (last + 1));
        const held = shuffled[last] as (typeof items)[number];
        shuffled[last] = shuffled[other] as (typeof items)[number];
        shuffled[other] = held;
      }
      return shuffled;
    },
    fork: (label) => seededRandom(hashLabel(label, numericSeed)),
  };
}
