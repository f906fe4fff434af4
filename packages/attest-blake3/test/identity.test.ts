import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { createPublicKey, verify } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import type { NodeId } from "@revoada/fabric";
import { ed25519Verifier, identityFromSeed, loadIdentity, loadOrCreateIdentity } from "@revoada/attest-blake3";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attest-"));
  path = join(folder, "identity.key");
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

describe("an identity", () => {
  test("signs as RFC 8032 §7.1, test 2 and test 3, say", () => {
    const second = identityFromSeed(bytesOf("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
    expect(second.id).toBe("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    expect(Buffer.from(second.sign(Uint8Array.of(0x72))).toString("hex")).toBe(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    const third = identityFromSeed(bytesOf("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
    expect(Buffer.from(third.sign(bytesOf("af82"))).toString("hex")).toBe(
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    );
  });

  test("shows its id and never its key", () => {
    const seed = new Uint8Array(32).fill(0xab);
    const identity = identityFromSeed(seed);
    const shown = inspect(identity, { depth: 10, showHidden: true }) + JSON.stringify(identity);
    expect(shown).toContain(identity.id);
    expect(shown).not.toContain("ab".repeat(4));
  });

  test("is not made from a seed of another length", () => {
    expect(() => identityFromSeed(new Uint8Array(31))).toThrow(
      expect.objectContaining({ code: "FABRIC_INVALID_VALUE" }),
    );
  });

  test("keeps signing alike when the seed that it was made from is wiped", () => {
    const seed = new Uint8Array(32).fill(5);
    const identity = identityFromSeed(seed);
    const before = identity.sign(Uint8Array.of(1));
    seed.fill(0);
    expect(identity.sign(Uint8Array.of(1))).toEqual(before);
  });
});

describe("a signature", () => {
  const identity = identityFromSeed(new Uint8Array(32).fill(1));
  const message = new TextEncoder().encode("message");
  const signature = identity.sign(message);
  const verifier = ed25519Verifier();

  test("holds for its signer and its message", () => {
    expect(verifier.verify(identity.id, message, signature)).toBe(true);
  });

  test("holds for nothing else, and nonsense is a wrong signature rather than an error", () => {
    const other = identityFromSeed(new Uint8Array(32).fill(2));
    const flipped = signature.with(0, (signature[0] as number) ^ 1);
    expect(verifier.verify(other.id, message, signature)).toBe(false);
    expect(verifier.verify(identity.id, message.subarray(1), signature)).toBe(false);
    expect(verifier.verify(identity.id, message, flipped)).toBe(false);
    expect(verifier.verify(identity.id, message, signature.subarray(1))).toBe(false);
    expect(verifier.verify(identity.id, message, new Uint8Array(0))).toBe(false);
    for (const signer of ["", "zz", "A".repeat(64), "ff".repeat(32), identity.id.toUpperCase()]) {
      expect(verifier.verify(signer as NodeId, message, signature)).toBe(false);
    }
    expect(verifier.verify(undefined as never, message, signature)).toBe(false);
    expect(verifier.verify(identity.id, undefined as never, signature)).toBe(false);
    expect(verifier.verify(identity.id, message, undefined as never)).toBe(false);
  });

  test("has one form: s + L is refused", () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const s =
      signature
        .subarray(32)
        .toReversed()
        .reduce((sum, byte) => sum * 256n + BigInt(byte), 0n) + order;
    const malleable = signature.slice();
    for (let index = 0; index < 32; index += 1) malleable[32 + index] = Number((s >> BigInt(8 * index)) & 255n);
    expect(verifier.verify(identity.id, message, malleable)).toBe(false);
  });

  test("under a key of small order is refused, though OpenSSL accepts it", () => {
    // With s = 0 and R the neutral point it holds wherever the hash times the key vanishes: for one message of eight at least.
    const trivial = new Uint8Array(64);
    trivial[0] = 1;
    const keys = [
      "0100000000000000000000000000000000000000000000000000000000000000",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000080",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for (const key of keys) {
      const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(key, "hex")]);
      const publicKey = createPublicKey({ key: der, format: "der", type: "spki" });
      const fooled = Array.from({ length: 200 }, (_, index) => Uint8Array.of(index)).filter((text) =>
        verify(null, text, publicKey, trivial),
      );
      expect(fooled.length, key).toBeGreaterThan(0);
      for (const text of fooled) expect(verifier.verify(key as NodeId, text, trivial)).toBe(false);
    }
  });
});

describe("a key file", () => {
  test("is made once, readable by its owner alone, and gives the same identity again", async () => {
    const made = await loadOrCreateIdentity(path);
    expect(made.created).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const again = await loadOrCreateIdentity(path);
    expect(again).toMatchObject({ created: false, seed: made.seed });
    expect(again.identity.id).toBe(made.identity.id);
    expect((await loadIdentity(path)).identity.id).toBe(made.identity.id);
    expect(identityFromSeed(made.seed).id).toBe(made.identity.id);
    expect(await readdir(folder)).toEqual(["identity.key"]);
  });

  test("is readable by its owner alone whatever the umask is", async () => {
    const before = process.umask(0o277);
    try {
      await loadOrCreateIdentity(path);
    } finally {
      process.umask(before);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("is made by one of many that start at once, and all get its identity", async () => {
    const all = await Promise.all(Array.from({ length: 16 }, () => loadOrCreateIdentity(path)));
    expect(new Set(all.map(({ identity }) => identity.id)).size).toBe(1);
    expect(all.filter(({ created }) => created)).toHaveLength(1);
    expect(await readdir(folder)).toEqual(["identity.key"]);
  });

  test.each([0o640, 0o604, 0o644, 0o620, 0o601])("of mode %o is refused", async (mode) => {
    await loadOrCreateIdentity(path);
    await chmod(path, mode);
    const refused = { code: "ATTEST_KEY_PERMISSIONS", message: expect.stringContaining("expected 0600") };
    await expect(loadOrCreateIdentity(path)).rejects.toMatchObject(refused);
    await expect(loadIdentity(path)).rejects.toMatchObject(refused);
  });

  test("that is empty, cut, longer, of another version or changed in any byte is refused and left alone", async () => {
    await loadOrCreateIdentity(path);
    const whole = new Uint8Array(await readFile(path));
    expect(whole.length).toBe(48);
    const damaged = [
      new Uint8Array(0),
      whole.subarray(0, 7),
      whole.subarray(0, 47),
      Uint8Array.of(...whole, 0),
      new TextEncoder().encode("-----BEGIN PRIVATE KEY-----\nnot one of ours\n"),
      ...Array.from(whole, (byte, index) => whole.with(index, byte ^ 0x40)),
    ];
    for (const bytes of damaged) {
      await writeFile(path, bytes);
      await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "ATTEST_KEY_INVALID" });
      expect(new Uint8Array(await readFile(path))).toEqual(bytes);
    }
  });

  test("of a newer version says so", async () => {
    await loadOrCreateIdentity(path);
    const whole = new Uint8Array(await readFile(path));
    await writeFile(path, whole.with(7, 2));
    await expect(loadIdentity(path)).rejects.toMatchObject({
      message: expect.stringContaining("version 2, this program knows version 1"),
    });
  });

  test("that is huge is refused without being read whole", async () => {
    await writeFile(path, "", { mode: 0o600 });
    await truncate(path, 2 ** 40).catch(() => truncate(path, 2 ** 30));
    await expect(loadIdentity(path)).rejects.toMatchObject({ code: "ATTEST_KEY_INVALID" });
  });

  test("that holds a public key is refused, and says so", async () => {
    await writeFile(path, `${"ab".repeat(32)}\n`, { mode: 0o644 });
    const why = "it holds a public key, and the private one is needed";
    await expect(loadIdentity(path)).rejects.toMatchObject({
      code: "ATTEST_KEY_INVALID",
      message: expect.stringContaining(why),
    });
  });

  test("that is a folder is refused", async () => {
    await mkdir(path, { mode: 0o700 });
    await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "ATTEST_KEY_INVALID" });
  });

  test("whose folder is missing, or that is not there to be read, is unavailable", async () => {
    await expect(loadOrCreateIdentity(join(folder, "missing", "identity.key"))).rejects.toMatchObject({
      code: "ATTEST_KEY_UNAVAILABLE",
      retryable: true,
    });
    await expect(loadIdentity(path)).rejects.toMatchObject({ code: "ATTEST_KEY_UNAVAILABLE" });
  });

  test("is never written through a link that leads nowhere", async () => {
    await symlink(join(folder, "elsewhere"), path);
    await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: "ATTEST_KEY_UNAVAILABLE" });
    expect(await readdir(folder)).toEqual(["identity.key"]);
  });
});
