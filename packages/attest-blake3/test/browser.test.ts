import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createContext, runInContext } from "node:vm";
import type { NodeId } from "@revoada/fabric";
import { ed25519Verifier, exportChainOf, proveNode } from "@revoada/attest-blake3";
import { evidenceKind, portableVerifier, verifyChainWith, verifyProofWith } from "@revoada/attest-blake3/verify";
import { rolldown } from "rolldown";
import { describe, expect, onTestFinished, test } from "vitest";
import { id, node, testGenesis, writeStory } from "./support.ts";

const { clusterId } = testGenesis;
const story = writeStory(10_000);
const file = story.file();
const proof = proveNode(file, clusterId, { node: id("c"), atMs: 1_700_000_025_000 });
const exported = exportChainOf(file, clusterId, { exportedMs: 1_800_000_000_000 }, node("b").identity);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** The entry as one script without imports, for a page. Refuses where anything of Node is left in it. */
async function bundled(): Promise<string> {
  const bundle = await rolldown({
    input: join(import.meta.dirname, "..", "src", "verify.ts"),
    platform: "browser",
    resolve: { conditionNames: ["@revoada/source", "import", "default"] },
    onLog: (_level, log) => {
      throw new Error(log.message);
    },
  });
  try {
    const { output } = await bundle.generate({ format: "iife", name: "revoada", minify: true });
    return output[0].code;
  } finally {
    await bundle.close();
  }
}

/** What a page would run: reads hex, verifies, and says how it went. */
const page = `
const bytes = (text) => Uint8Array.from(text.match(/../g).map((pair) => parseInt(pair, 16)));
const verifier = revoada.portableVerifier();
const chain = revoada.verifyChainWith(bytes("${hex(file)}"), "${clusterId}", verifier);
const proof = revoada.verifyProofWith(bytes("${hex(proof)}"), "${clusterId}", verifier);
const cbor = bytes("${hex(exported)}");
const json = new TextEncoder().encode(revoada.exportToJson(cbor));
const exports = [cbor, json].map((form) => revoada.verifyChainWith(form, "${clusterId}", verifier));
[chain.ok, chain.head.height, ...exports.map((verdict) => verdict.export.isMember), proof.ok, proof.record.role, proof.record.replica].join(" ");`;
const expected = "true 11 true true true master voter";

describe("the verifier for browsers", () => {
  test("gives the verdicts of the one for Node", () => {
    expect(evidenceKind(proof)).toBe("proof");
    for (const verifier of [portableVerifier(), ed25519Verifier()]) {
      expect(verifyChainWith(file, clusterId, verifier)).toMatchObject({ ok: true, head: story.head });
      expect(verifyProofWith(proof, clusterId, verifier)).toMatchObject({ ok: true, height: 6 });
    }
  });

  test("takes and refuses the same signatures: changed ones, malleable ones, keys of small order", () => {
    const [portable, native] = [portableVerifier(), ed25519Verifier()];
    const message = Uint8Array.of(1, 2, 3);
    const signature = node("a").identity.sign(message);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const s = BigInt(`0x${hex(signature.slice(32).toReversed())}`) + order;
    const malleable = signature.slice();
    malleable.set(Buffer.from(s.toString(16).padStart(64, "0"), "hex").toReversed(), 32);
    const cases: (readonly [NodeId, Uint8Array, Uint8Array])[] = [
      [id("a"), message, signature],
      [id("b"), message, signature],
      [id("a"), Uint8Array.of(1, 2), signature],
      [id("a"), message, malleable],
      [id("a"), message, signature.slice(1)],
      ["nonsense" as NodeId, message, signature],
      ...["00".repeat(32), `01${"00".repeat(31)}`, `ec${"ff".repeat(30)}7f`].map(
        (key) => [key as NodeId, message, new Uint8Array(64).with(0, 1)] as const,
      ),
    ];
    const verdicts = cases.map((each) => portable.verify(...each));
    expect(verdicts).toEqual(cases.map((each) => native.verify(...each)));
    expect(verdicts).toEqual([true, ...cases.slice(1).map(() => false)]);
  });

  test("runs as one script in a world that has nothing of Node", async () => {
    const code = await bundled();
    expect(code).not.toMatch(/\brequire\(|\bimport\(|from"node:/);
    const world = createContext({ TextEncoder, TextDecoder, Uint8Array });
    expect(runInContext(`${code}\n${page}`, world, { timeout: 30_000 })).toBe(expected);
  });

  test.skipIf(!existsSync("/usr/bin/chromium"))("runs in Chromium", { timeout: 60_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "revoada-browser-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const html = join(folder, "page.html");
    const body = `<p id="verdict"></p><script>${await bundled()}</script>`;
    const script = `<script>document.getElementById("verdict").textContent = ((() => { return eval(${JSON.stringify(page)}); })());</script>`;
    writeFileSync(html, `<!doctype html><meta charset="utf-8">${body}${script}`);
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${folder}/profile`, "--dump-dom"];
    const { stdout } = await promisify(execFile)("/usr/bin/chromium", [...flags, `file://${html}`], {
      timeout: 50_000,
    });
    expect(stdout).toContain(`<p id="verdict">${expected}</p>`);
  });
});
