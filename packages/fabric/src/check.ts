import { InvalidValueError } from "./errors.ts";

/** Reads fields of an untrusted object one by one and refuses what is left over. Errors name the dotted path. */
export class FieldReader {
  readonly #path: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #seen = new Set<string>();

  constructor(value: unknown, path: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw new InvalidValueError(path, value, "an object");
    }
    this.#path = path;
    this.#fields = value as Readonly<Record<string, unknown>>;
  }

  /** The dotted path of a field. */
  at(name: string): string {
    return `${this.#path}.${name}`;
  }

  /** The raw value of a field, undefined where it is missing. */
  take(name: string): unknown {
    this.#seen.add(name);
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  /** A finite number. Whether it makes sense is for the caller's own rules. */
  number(name: string): number {
    const value = this.take(name);
    if (typeof value !== "number") throw new InvalidValueError(this.at(name), value, "a number");
    return value;
  }

  string(name: string, limits: { readonly maxLength: number }): string {
    const value = this.take(name);
    if (typeof value !== "string" || value.length === 0 || value.length > limits.maxLength) {
      throw new InvalidValueError(this.at(name), value, `a text of 1 to ${limits.maxLength} characters`);
    }
    return value;
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.take(name) ?? fallback;
    if (typeof value !== "boolean") throw new InvalidValueError(this.at(name), value, "true or false");
    return value;
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    const value = this.take(name);
    if (typeof value === "string" && (choices as readonly string[]).includes(value)) return value as T;
    throw new InvalidValueError(this.at(name), value, `one of ${choices.join(", ")}`);
  }

  /** Refuses fields that nobody asked for: a misspelt name must not be ignored. */
  finish(): void {
    for (const name of Object.keys(this.#fields)) {
      if (this.#seen.has(name)) continue;
      throw new InvalidValueError(
        this.at(name),
        this.#fields[name],
        `no such field (known: ${[...this.#seen].toSorted().join(", ")})`,
      );
    }
  }
}
