import type { Member, Membership, NodeId } from "@revoada/fabric";
import { memberKeys } from "@revoada/membership-gossip";
import { expect, test } from "vitest";

function memberOf(keys: Readonly<Record<string, string>>): Member {
  return {
    id: "a".repeat(64) as NodeId,
    status: "alive",
    generation: 1,
    incarnation: 0,
    addresses: [],
    keys: new Map(Object.entries(keys)),
    statusSinceMs: 0,
  };
}

/** Collects what is set. */
function recorder(): { readonly membership: Membership; readonly said: Map<string, string> } {
  const said = new Map<string, string>();
  return { said, membership: { set: (key: string, value: string) => said.set(key, value) } as unknown as Membership };
}

test("what is said under a typed key is read back as it was", () => {
  const { membership, said } = recorder();
  memberKeys.zone.set(membership, "eu-1/a");
  memberKeys.load.set(membership, 0.25);
  memberKeys.capacity.set(membership, 64);
  memberKeys.duties.set(membership, ["api", "storage"]);
  const member = memberOf(Object.fromEntries(said));
  expect(memberKeys.zone.get(member)).toBe("eu-1/a");
  expect(memberKeys.load.get(member)).toBe(0.25);
  expect(memberKeys.capacity.get(member)).toBe(64);
  expect(memberKeys.duties.get(member)).toEqual(["api", "storage"]);
  expect(memberKeys.power.get(member)).toBeUndefined();
  expect(memberKeys.power.get(undefined)).toBeUndefined();
});

test("a value that is not of its key's type is refused and not said", () => {
  const { membership, said } = recorder();
  const refused = expect.objectContaining({ code: "MEMBERSHIP_INVALID_VALUE" });
  for (const load of [Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 60])
    expect(() => memberKeys.load.set(membership, load)).toThrow(refused);
  for (const zone of ["", " a", "a b", "a,b", "x".repeat(129)])
    expect(() => memberKeys.zone.set(membership, zone)).toThrow(refused);
  expect(() => memberKeys.duties.set(membership, ["api", "a,b"])).toThrow(refused);
  expect(said.size).toBe(0);
});

test("what others say under a typed key is checked before it is believed", () => {
  const hostile = memberOf({ load: "1e999", capacity: "0x10", power: "-3", zone: "<script>", duties: "api,,x" });
  for (const key of [memberKeys.load, memberKeys.capacity, memberKeys.power, memberKeys.zone, memberKeys.duties])
    expect(key.get(hostile), key.name).toBeUndefined();
});

test("amounts keep six decimals and never turn into another notation", () => {
  const { membership, said } = recorder();
  memberKeys.load.set(membership, 1e-9);
  expect(said.get("load")).toBe("0");
  memberKeys.load.set(membership, 0.123456789);
  expect(said.get("load")).toBe("0.123457");
  memberKeys.load.set(membership, 0.000_001);
  expect(memberKeys.load.get(memberOf(Object.fromEntries(said)))).toBe(0.000_001);
  memberKeys.capacity.set(membership, Number.MAX_SAFE_INTEGER);
  expect(memberKeys.capacity.get(memberOf(Object.fromEntries(said)))).toBe(Number.MAX_SAFE_INTEGER);
});
