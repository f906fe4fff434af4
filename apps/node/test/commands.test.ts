import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Lease, silentLogger } from "@revoada/fabric";
import { maxDocumentBytes } from "@revoada/format";
import type { ExplainReport } from "../src/daemon/chain-report.ts";
import { describe, expect, onTestFinished, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { startNode } from "../src/daemon/daemon.ts";
import { captureIo, temporaryDirectory, type CaptureOptions } from "./helpers.ts";

interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Desk {
  readonly folder: string;
  run(line: string, options?: CaptureOptions): Promise<Done>;
}

/** A node of its own, and a folder from which it is asked. */
async function desk(): Promise<Desk> {
  const folder = temporaryDirectory();
  const node = await startNode({
    config: {
      dataDir: join(folder, "data"),
      bootstrap: true,
      topology: "solo",
      strategy: "solo",
      listen: "127.0.0.1:0",
      adminListen: "127.0.0.1:0",
      zone: "default",
      logLevel: "silent",
    },
    logger: silentLogger,
    signal: new AbortController().signal,
  });
  onTestFinished(() => node.stop());
  const environment = { REVOADA_DATA_DIR: join(folder, "data") };
  const run = async (line: string, options: CaptureOptions = {}): Promise<Done> => {
    const io = captureIo({ environment, workingDirectory: folder, ...options });
    const code = await runCli(line.split(" "), commands, io);
    return { code, out: io.out(), err: io.err() };
  };
  // A cluster of one is formed within its first tick.
  while (node.status().mode !== "read-write") await run("status");
  return { folder, run };
}

const settings = "apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\nmetadata:\n  name: settings\n";

describe("resources on the command line", () => {
  test("come from a directory, whose files are all understood before the first is applied", async () => {
    const { folder, run } = await desk();
    mkdirSync(join(folder, "manifests"));
    writeFileSync(join(folder, "manifests", "1-good.yaml"), settings);
    writeFileSync(join(folder, "manifests", "2-bad.yaml"), "apiVersion: v1\nkind: [\n");
    const refused = await run("apply -f manifests");
    expect([refused.code, refused.out]).toEqual([2, ""]);
    expect(refused.err).toMatch(/^error FORMAT_INVALID: manifests\/2-bad\.yaml:\d+:\d+: /);
    expect((await run("list")).out).toBe("no resources\n");
    writeFileSync(join(folder, "manifests", "2-bad.yaml"), settings.replace("settings", "more"));
    expect((await run("apply -f manifests")).out).toBe(
      "RESOURCE            OUTCOME  REVISION\nConfigMap settings  created  1\nConfigMap more      created  2\n",
    );
  });

  test("are told as applied where a later file is refused", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "1.yaml"), settings);
    writeFileSync(join(folder, "2.yaml"), `${settings.replace("settings", "twice")}---\n`.repeat(2));
    const { code, out, err } = await run("apply -f 1.yaml -f 2.yaml");
    expect([code, out]).toEqual([1, "RESOURCE            OUTCOME  REVISION\nConfigMap settings  created  1\n"]);
    expect(err).toMatch(/^error FACE_DUPLICATE_RESOURCE: 2\.yaml: /);
    expect((await run("apply -f 2.yaml")).out).toBe("");
  });

  test("come from a pipe, in the format that is said", async () => {
    const { run } = await desk();
    const body = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "piped" }, data: { a: "b" } });
    const stdin = [Buffer.from(body.slice(0, 10)), Buffer.from(body.slice(10))];
    expect((await run("apply -f - --format json", { stdin })).code).toBe(0);
    expect((await run("get ConfigMap piped -o yaml")).out).toBe(settings.replace("settings", "piped"));
    expect(JSON.parse((await run("list ConfigMap -o json")).out)).toMatchObject({
      items: [{ ref: { name: "piped" }, value: { data: { a: "b" } } }],
    });
  });

  test("that are too large or of no known format are refused before anybody is asked", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "large.yaml"), Buffer.alloc(maxDocumentBytes + 1, "#"));
    writeFileSync(join(folder, "notes.txt"), settings);
    mkdirSync(join(folder, "empty"));
    const codes = ["apply", "apply -f large.yaml", "apply -f notes.txt", "apply -f empty", "apply -f absent.yaml"];
    const errors = await Promise.all(codes.map(async (line) => (await run(line)).err.split(":")[0]));
    expect(errors).toEqual([
      "error CLI_MISSING_FLAG",
      "error CLI_FILE_TOO_LARGE",
      "error CLI_UNKNOWN_FORMAT",
      "error CLI_NOTHING_TO_APPLY",
      "error CLI_FILE_UNAVAILABLE",
    ]);
  });

  test("are deleted once, and only at the revision that was said", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "settings.yaml"), settings);
    await run("apply -f settings.yaml");
    expect((await run("delete ConfigMap settings --if-revision 7")).code).toBe(6);
    expect((await run("delete ConfigMap settings --if-revision 1")).code).toBe(0);
    const gone = await run("delete ConfigMap settings");
    expect([gone.code, gone.err.split(":")[0]]).toEqual([4, "error FACE_RESOURCE_NOT_FOUND"]);
  });

  test("are saved to a file and come back from it, or from none that is damaged", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "settings.yaml"), settings);
    await run("apply -f settings.yaml");
    expect((await run("snapshot save all.snapshot")).code).toBe(0);
    const path = join(folder, "all.snapshot");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await run("delete ConfigMap settings");
    writeFileSync(join(folder, "cut.snapshot"), readFileSync(path).subarray(0, -1));
    const cut = await run("snapshot restore cut.snapshot");
    expect([cut.code, cut.err.split(":")[0]]).toEqual([1, "error CATALOG_SNAPSHOT_INVALID"]);
    expect((await run("get ConfigMap settings")).code).toBe(4);
    expect((await run("snapshot restore absent.snapshot")).err).toContain("CLI_FILE_UNAVAILABLE");
    expect((await run("snapshot restore all.snapshot")).code).toBe(0);
    expect((await run("get ConfigMap settings")).out).toBe(settings);
  });
});

describe("leases on the command line", () => {
  async function grantedBy(run: Desk["run"], line: string): Promise<{ readonly id: number; readonly token: string }> {
    const { id, token } = JSON.parse((await run(`${line} -o json`)).out) as Lease;
    return { id, token: `${token.term}/${token.index}` };
  }

  test("take what was applied with them along when they are revoked", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "settings.yaml"), settings);
    const { id } = await grantedBy(run, "lease grant 10m --holder me");
    expect((await run(`apply -f settings.yaml --lease ${id}`)).out).toMatch(/ConfigMap settings +created +1\n/);
    expect((await run(`lease timetolive ${id} --keys`)).out).toMatch(
      new RegExp(`^lease ${id} of 600 s, \\d+(\\.\\d)? s left, keys: 1\n  ConfigMap settings\n$`),
    );
    expect((await run("lease list")).out).toMatch(new RegExp(`\n${id} +600 s +1 +- +\\d+/${id} +me\n`));
    expect(JSON.parse((await run("list -o json")).out)).toMatchObject({ items: [{ lease: id }] });
    expect((await run(`lease keep-alive ${id} --once`)).out).toBe(`lease ${id} renewed for 600 s\n`);
    expect((await run(`lease revoke ${id}`)).out).toBe(`lease ${id} revoked at revision 2\n`);
    expect((await run("list")).out).toBe("no resources\n");
    for (const verb of ["revoke", "timetolive", "keep-alive"]) expect((await run(`lease ${verb} ${id}`)).code).toBe(4);
    expect((await run(`apply -f settings.yaml --lease ${id}`)).code).toBe(4);
  });

  test("are renewed until the user interrupts, which is no failure", async () => {
    const { run } = await desk();
    const { id } = await grantedBy(run, "lease grant 1s");
    const interrupt = new AbortController();
    let renewals = 0;
    const onOutput = (): void => {
      renewals++;
      if (renewals === 3) interrupt.abort();
    };
    const kept = await run(`lease keep-alive ${id} -o json`, { signal: interrupt.signal, onOutput });
    expect(kept).toMatchObject({ code: 0, err: "" });
    expect(
      kept.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(Array.from({ length: 3 }, () => ({ lease: id, ttlMs: 1_000 })));
  });

  test("hold a duty under a token, which later writes and deletions are judged by", async () => {
    const { folder, run } = await desk();
    writeFileSync(join(folder, "settings.yaml"), settings);
    const former = await grantedBy(run, "lease grant 10m --duty reports");
    expect((await run("lease grant 10m --duty reports")).code).toBe(6);
    expect((await run(`apply -f settings.yaml --fence reports=${former.token}`)).code).toBe(0);
    await run(`lease revoke ${former.id}`);
    const { token } = await grantedBy(run, "lease grant 10m --duty reports");
    const late = await run(`apply -f settings.yaml --fence reports=${former.token}`);
    expect([late.code, late.err.split(":")[0]]).toEqual([6, "error CATALOG_FENCED"]);
    expect((await run(`delete ConfigMap settings --fence reports=${former.token}`)).code).toBe(6);
    expect((await run(`delete ConfigMap settings --fence reports=${token}`)).code).toBe(0);
  });

  test("are refused where what is asked cannot be understood", async () => {
    const { run } = await desk();
    const lines = ["lease grant soon", "lease revoke -", "lease timetolive 0", "lease keep-alive 1 -o yaml"];
    for (const line of [...lines, "delete Host a --fence reports=1"])
      expect((await run(line)).err).toMatch(/^error CLI_INVALID_VALUE: /);
    expect((await run("lease grant 500ms")).err).toMatch(/^error CATALOG_LEASE_LIMIT: a lease of 500 ms /);
  });
});

describe("a node on the command line", () => {
  test("shows itself to people and to programs", async () => {
    const { run } = await desk();
    const shown = await Promise.all(
      ["status", "health", "formation", "chain show", "identity"].map(async (line) => [
        await run(line),
        await run(`${line} -o json`),
      ]),
    );
    for (const [people, programs] of shown) {
      expect(people?.code).toBe(0);
      expect(typeof JSON.parse(programs?.out ?? "")).toBe("object");
    }
  });

  test("explains the place of a node by its shifts and the facts that they rested on", async () => {
    const { run } = await desk();
    const { node } = JSON.parse((await run("identity -o json")).out) as { readonly node: string };
    expect((await run(`formation propose cordon ${node}`)).code).toBe(0);
    const shown = await run(`formation explain ${node.slice(0, 8)}`);
    expect(shown).toMatchObject({ code: 0, err: "" });
    expect(shown.out).toMatch(/cordon +order +\w+ +an operator: cordon/);
    const { blocks } = JSON.parse((await run(`formation explain ${node} -o json`)).out) as ExplainReport;
    expect(blocks.at(-1)).toMatchObject({ verb: "cordon", decision: { kind: "order" } });
    expect((await run("formation explain ffff")).code).toBe(4);
  });

  test("makes tokens, within bounds", async () => {
    const { run } = await desk();
    expect((await run("token create --ttl 1h --uses 1")).out).toMatch(/^rvd1[\w-]+\n$/);
    expect((await run("token create --ttl soon")).err).toContain("CLI_INVALID_VALUE");
    expect((await run("token create --ttl 9999d")).err).toContain("FABRIC_INVALID_VALUE");
  });

  test("lists tokens without their secrets, and ends one by a beginning of its id", async () => {
    const { run } = await desk();
    const secret = (await run("token create --uses 1 --label rack-7")).out.trim();
    const shown = await run("token list -o json");
    expect(shown.out).not.toContain(secret);
    const { tokens } = JSON.parse(shown.out) as { readonly tokens: readonly { id: string; label?: string }[] };
    const made = tokens.find(({ label }) => label === "rack-7");
    expect(made).toMatchObject({ state: "good", usesLeft: 1 });
    expect((await run("token list")).out).toMatch(/rack-7/);
    const revoked = await run(`token revoke ${made?.id.slice(0, 12)}`);
    expect(revoked).toMatchObject({ code: 0, out: `token ${made?.id} is revoked\n` });
    expect((await run("token list")).out).not.toMatch(/rack-7/);
    const again = await run(`token revoke ${made?.id}`);
    expect([again.code, again.err.split(":")[0]]).toEqual([4, "error NODE_UNKNOWN_ID"]);
    expect((await run("token revoke zz")).err).toContain("error FABRIC_INVALID_VALUE");
    expect((await run("token create --label \u001b[31m")).err).toContain("error TOKEN_REFUSED");
  });

  test("shifts nodes by an operator's word, within what the cluster can bear", async () => {
    const { run } = await desk();
    const { node } = JSON.parse((await run("identity -o json")).out) as { readonly node: string };
    expect((await run(`formation propose cordon ${node.slice(0, 8)} --dry-run`)).out).toMatch(/would cordon/);
    expect((await run(`formation propose cordon ${node}`)).out).toMatch(
      /: cordon; the formation is at generation \d+\n$/,
    );
    expect((await run("formation")).out).toContain("cordoned");
    expect((await run(`formation propose restore ${node}`)).code).toBe(0);
    const refused = await run(`formation propose drain ${node}`);
    expect([refused.code, refused.err.split(":")[0]]).toEqual([1, "error CLUSTER_SHIFT_REFUSED"]);
    expect((await run(`formation propose promote ${node}`)).err).toContain("a role to promote to");
    expect((await run(`formation propose cordon ${node} --role worker`)).err).toContain("no role with cordon");
    expect((await run(`formation propose evict ${node}`)).err).toContain("CLI_INVALID_VALUE");
  });

  test("removes neither itself nor a node that nobody knows", async () => {
    const { run } = await desk();
    const { node } = JSON.parse((await run("identity -o json")).out) as { readonly node: string };
    expect((await run(`node remove ${node}`)).err).toContain("error CLUSTER_REMOVE_REFUSED");
    const unknown = await run(`node remove ${"0".repeat(64)}`);
    expect([unknown.code, unknown.err.split(":")[0]]).toEqual([4, "error NODE_UNKNOWN_ID"]);
  });

  test("does not leave a cluster that would be without a vote", async () => {
    const { run } = await desk();
    const refused = await run("leave");
    expect([refused.code, refused.err.split(":")[0]]).toEqual([1, "error CLUSTER_LEAVE_REFUSED"]);
    expect((await run("status")).code).toBe(0);
  });

  test("keeps its log from being judged while it writes it", async () => {
    const { run } = await desk();
    expect((await run("wal verify")).err).toContain("error DISK_LOCKED");
  });

  test("proves its chain to whoever has the cluster id, and to nobody else", async () => {
    const { folder, run } = await desk();
    await run("chain export proof.chain");
    const { cluster } = JSON.parse((await run("identity -o json")).out) as { readonly cluster: string };
    expect((await run(`chain verify proof.chain --cluster ${cluster}`)).code).toBe(0);
    const bytes = readFileSync(join(folder, "proof.chain"));
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(join(folder, "forged.chain"), bytes);
    const forged = await run(`chain verify forged.chain --cluster ${cluster} -o json`);
    expect([forged.code, (JSON.parse(forged.out) as { readonly ok: boolean }).ok]).toEqual([1, false]);
    expect((await run("chain verify proof.chain")).err).toContain("CLI_MISSING_FLAG");
  });

  test("hands its chain over signed, in CBOR and in JSON, each made of the other", async () => {
    const { folder, run } = await desk();
    const { node, cluster } = JSON.parse((await run("identity -o json")).out) as Record<"node" | "cluster", string>;
    await run(`formation propose cordon ${node}`);
    const written = await run("chain export -o a.chain");
    expect(written).toMatchObject({ code: 0, err: "" });
    expect(written.out).toMatch(
      /^\d+ bytes written to a\.chain\nverify with: revoada chain verify a\.chain --cluster /,
    );
    expect(await run("chain export --format json --to 1 -o a.json")).toMatchObject({ code: 0, err: "" });
    for (const file of ["a.chain", "a.json"]) {
      const verdict = await run(`chain verify ${file} --cluster ${cluster} --exporter ${node} --json --jobs 2`);
      expect(verdict).toMatchObject({ code: 0, err: "" });
      expect(JSON.parse(verdict.out)).toMatchObject({ kind: "chain", ok: true, export: { exporter: node, from: 1 } });
    }
    expect((await run(`chain verify a.chain --cluster ${cluster}`)).out).toMatch(
      new RegExp(`exported +by ${node} at `),
    );
    expect((await run("chain convert a.json --format cbor -o b.chain")).code).toBe(0);
    expect((await run("chain convert b.chain --format json -o b.json")).code).toBe(0);
    const [made, again] = ["a.json", "b.json"].map((file) => readFileSync(join(folder, file), "utf8"));
    expect(again).toBe(made);
    writeFileSync(join(folder, "c.json"), made?.replace('"to":', '"to":1') ?? "");
    const forged = await run(`chain verify c.json --cluster ${cluster}`);
    expect([forged.code, forged.out]).toEqual([1, expect.stringContaining("bad-export")]);
  });

  test("refuses an export without a place to write it to, with two, or of what is not there", async () => {
    const { folder, run } = await desk();
    expect((await run("chain export")).err).toContain("CLI_MISSING_FLAG");
    expect((await run("chain export a.chain -o b.chain")).err).toContain("CLI_INVALID_VALUE");
    expect((await run("chain export -o a.chain --to 999999")).err).toContain(
      "CHAIN_INVALID: unproven at height 999999",
    );
    expect((await run("chain export -o a.chain --from 0")).err).toContain("CLI_INVALID_VALUE");
    writeFileSync(join(folder, "text"), "no chain");
    expect((await run("chain convert text --format json -o a.json")).err).toContain("text is not a signed export");
    expect((await run("chain convert text -o a.json")).err).toContain("CLI_MISSING_FLAG");
  });
});
