import type { Member, Membership } from "@revoada/fabric";
import { MembershipInvalidValueError } from "./errors.ts";

/**
 * A key with a type: what a node says of itself is text on the wire, and comes from others, so each value is checked on the way
 * out and on the way in.
 */
export interface MemberKey<Value> {
  readonly name: string;
  /** Says it of the local node. Throws `MEMBERSHIP_INVALID_VALUE` for what the type does not hold, `MEMBERSHIP_QUOTA` beyond a quota. */
  set(membership: Membership, value: Value): void;
  /** What a member says; undefined where it says nothing, or nothing of this type. */
  get(member: Member | undefined): Value | undefined;
}

interface Codec<Value> {
  readonly encode: (value: Value) => string | undefined;
  readonly decode: (text: string) => Value | undefined;
}

function memberKey<Value>(name: string, expected: string, { encode, decode }: Codec<Value>): MemberKey<Value> {
  return Object.freeze({
    name,
    set(membership: Membership, value: Value): void {
      const text = encode(value);
      if (text === undefined)
        throw new MembershipInvalidValueError(`${name}: expected ${expected}, got ${JSON.stringify(value)}`);
      membership.set(name, text);
    },
    get(member: Member | undefined): Value | undefined {
      const text = member?.keys.get(name);
      return text === undefined ? undefined : decode(text);
    },
  });
}

const labelPattern = /^[A-Za-z0-9](?:[A-Za-z0-9._/+-]{0,126}[A-Za-z0-9])?$/;
const numberPattern = /^(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,6})?$/;

const label: Codec<string> = {
  encode: (value) => (labelPattern.test(value) ? value : undefined),
  decode: (text) => (labelPattern.test(text) ? text : undefined),
};

const amount: Codec<number> = {
  encode(value) {
    if (!Number.isFinite(value) || value < 0 || value > Number.MAX_SAFE_INTEGER) return undefined;
    return String(Number(value.toFixed(6)));
  },
  decode: (text) => (numberPattern.test(text) ? Number(text) : undefined),
};

const labels: Codec<readonly string[]> = {
  encode: (value) => (value.every((each) => labelPattern.test(each)) ? value.join(",") : undefined),
  decode(text) {
    const parts = text === "" ? [] : text.split(",");
    return parts.every((part) => labelPattern.test(part)) ? Object.freeze(parts) : undefined;
  },
};

const labelText = "1 to 128 letters, digits and . _ / + -, with a letter or a digit at both ends";
const amountText = "a number from 0 to 2^53 - 1, of which six decimals are kept";

/** The keys that a cluster commonly uses. `zone` spreads the observers; the rest means what its readers make of it. */
export const memberKeys: {
  readonly zone: MemberKey<string>;
  readonly rack: MemberKey<string>;
  readonly version: MemberKey<string>;
  /** How much the node can carry, in units of the operator's choice. */
  readonly capacity: MemberKey<number>;
  /** What it is ready to do. */
  readonly duties: MemberKey<readonly string[]>;
  /** Watts. */
  readonly power: MemberKey<number>;
  /** How much of its capacity is taken. */
  readonly load: MemberKey<number>;
} = Object.freeze({
  zone: memberKey("zone", labelText, label),
  rack: memberKey("rack", labelText, label),
  version: memberKey("version", labelText, label),
  capacity: memberKey("capacity", amountText, amount),
  duties: memberKey("duties", `a list of labels of ${labelText}`, labels),
  power: memberKey("power", amountText, amount),
  load: memberKey("load", amountText, amount),
});
