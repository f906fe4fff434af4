import { replica } from "./cluster.ts";

/** The words of one command of a data file: those with `=` are options, the others stand in order. */
export class Words {
  readonly words: readonly string[];
  readonly #options = new Map<string, string>();

  constructor(words: readonly string[]) {
    this.words = words.filter((word) => !/^[a-z-]+=/.test(word));
    for (const word of words) {
      const [, name, value] = /^([a-z-]+)=(.*)$/.exec(word) ?? [];
      if (name !== undefined) this.#options.set(name, value as string);
    }
  }

  number(at: number): number {
    const value = Number(this.words[at]);
    if (!Number.isInteger(value)) throw new Error(`word ${at + 1} of "${this.words.join(" ")}" is no number`);
    return value;
  }

  numbers(from = 0): readonly number[] {
    return this.words.slice(from).map((_, at) => this.number(from + at));
  }

  option(name: string): string | undefined {
    return this.#options.get(name);
  }

  optionNumber(name: string): number | undefined {
    const text = this.option(name);
    return text === undefined ? undefined : Number(text);
  }

  /** What stands between commas. */
  list(name: string): readonly string[] | undefined {
    return this.option(name)
      ?.split(",")
      .filter((word) => word !== "");
  }

  /** Members as `1,2,7-9`; a quote behind a number is a store of a later life. */
  members(name: string): readonly ReturnType<typeof replica>[] | undefined {
    return this.list(name)?.flatMap((word) => {
      const [first, last = first] = word.split("-").map((each) => Number.parseInt(each, 10)) as [number, number?];
      const life = word.endsWith("'") ? 1 : 0;
      return Array.from({ length: last - first + 1 }, (_, at) => replica(first + at, life));
    });
  }

  /** `index/term` pairs as `1/1,2/3`. */
  positions(name: string): readonly (readonly [number, number])[] {
    return (this.list(name) ?? []).map((word) => word.split("/").map(Number) as [number, number]);
  }
}
