import type { PlainValue } from "@revoada/fabric";
import { describeValue } from "@revoada/fabric";
import { FormatInvalidError } from "./errors.ts";
import { keyFault, maxDepth, numberFault, textFault } from "./plain.ts";
import { positionOf } from "./text.ts";

const space = /[ \t\r\n]*/y;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const word = /[a-zA-Z]+/y;

const words: ReadonlyMap<string, PlainValue> = new Map<string, PlainValue>([
  ["true", true],
  ["false", false],
  ["null", null],
]);

/**
 * Reads JSON (RFC 8259) more strictly than `JSON.parse`: keys that stand twice, keys that bend prototypes, numbers that would be rounded and deep
 * nesting are refused, and every refusal names its line and column.
 */
export class JsonReader {
  readonly #text: string;
  readonly #source: string;
  #offset = 0;

  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
  }

  /** The offset of the next value, and past white space; undefined at the end. */
  nextOffset(): number | undefined {
    this.#match(space);
    return this.#offset < this.#text.length ? this.#offset : undefined;
  }

  /** Reads one value. */
  value(depth = 0): PlainValue {
    const start = this.nextOffset();
    if (start === undefined) return this.#refuse("the text ends where a value should stand");
    const first = this.#text[start];
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#list(depth).map(({ value }) => value);
    if (first === '"') return this.#string();
    const digits = this.#match(number);
    if (digits !== "") return this.#number(Number(digits), start);
    const name = this.#match(word);
    const value = words.get(name);
    if (value !== undefined) return value;
    return this.#refuse(`expected a value, got ${describeValue(name === "" ? first : name)}`, start);
  }

  /** Reads a list and keeps where each item begins. */
  items(): readonly { readonly value: PlainValue; readonly offset: number }[] {
    this.nextOffset();
    return this.#list(0);
  }

  /** Refuses with the position of `offset`, by default where the reader stands. */
  #refuse(reason: string, offset = this.#offset): never {
    throw new FormatInvalidError(this.#source, reason, positionOf(this.#text, offset));
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#offset += found.length;
    return found;
  }

  #takes(character: string): boolean {
    this.#match(space);
    if (this.#text[this.#offset] !== character) return false;
    this.#offset += 1;
    return true;
  }

  #enter(depth: number): void {
    if (depth >= maxDepth) this.#refuse(`more than ${maxDepth} levels`);
    this.#offset += 1;
  }

  #expected(what: string): never {
    const found = this.#text[this.#offset];
    return this.#refuse(`expected ${what}, got ${found === undefined ? "the end of the text" : describeValue(found)}`);
  }

  #object(depth: number): PlainValue {
    this.#enter(depth);
    const object: Record<string, PlainValue> = {};
    if (this.#takes("}")) return object;
    do {
      this.#match(space);
      const start = this.#offset;
      if (this.#text[start] !== '"') this.#expected("a key in double quotes");
      const key = this.#string();
      const fault = keyFault(key);
      if (fault !== undefined) this.#refuse(fault, start);
      if (Object.hasOwn(object, key)) this.#refuse(`the key ${describeValue(key)} stands twice`, start);
      if (!this.#takes(":")) this.#expected("':'");
      object[key] = this.value(depth + 1);
    } while (this.#takes(","));
    if (!this.#takes("}")) this.#expected("',' or '}'");
    return object;
  }

  #list(depth: number): { readonly value: PlainValue; readonly offset: number }[] {
    this.#enter(depth);
    const items: { readonly value: PlainValue; readonly offset: number }[] = [];
    if (this.#takes("]")) return items;
    do {
      const offset = this.nextOffset() ?? this.#offset;
      items.push({ value: this.value(depth + 1), offset });
    } while (this.#takes(","));
    if (!this.#takes("]")) this.#expected("',' or ']'");
    return items;
  }

  #string(): string {
    const start = this.#offset;
    this.#offset = this.#endOfString(start);
    let text: string;
    try {
      text = JSON.parse(this.#text.slice(start, this.#offset)) as string;
    } catch {
      return this.#refuse("a text holds a control character or an escape sequence that JSON does not know", start);
    }
    const fault = textFault(text);
    return fault === undefined ? text : this.#refuse(fault, start);
  }

  /** Not a regular expression: one that repeats a choice needs memory for each character of a long text. */
  #endOfString(start: number): number {
    for (let offset = start + 1; offset < this.#text.length; offset += 1) {
      const character = this.#text[offset];
      if (character === '"') return offset + 1;
      if (character === "\\") offset += 1;
    }
    return this.#refuse("a text is not closed", start);
  }

  #number(value: number, offset: number): number {
    const fault = numberFault(value);
    // Minus zero is zero in every other format.
    return fault === undefined ? value + 0 : this.#refuse(fault, offset);
  }
}
