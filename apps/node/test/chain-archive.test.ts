import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@revoada/fabric";
import { expect, onTestFinished, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { connectNode, type NodeClient } from "../src/client.ts";
import type { NodeConfig } from "../src/config/config.ts";
import { startNode, type RunningNode } from "../src/daemon/daemon.ts";
import { captureIo, temporaryDirectory } from "./helpers.ts";

const bounds = { timeout: 20_000, interval: 50 };

async function start(dataDir: string, asked: Partial<NodeConfig> = {}): Promise<RunningNode> {
  const config: NodeConfig = { dataDir, bootstrap: false, adminListen: "127.0.0.1:0", logLevel: "silent", ...asked };
  const node = await startNode({ config, logger: silentLogger, signal: new AbortController().signal });
  onTestFinished(() => node.stop());
  return node;
}

async function cli(
  folder: string,
  ...line: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const io = captureIo({ workingDirectory: folder });
  const code = await runCli(line, commands, io);
  return { code, text: io.out() + io.err() };
}

/** So many shifts of the only node, and then all of them sealed. */
async function shifts(client: NodeClient, node: string, count: number): Promise<void> {
  for (let shift = 0; shift < count; shift += 1)
    await client.propose({ verb: shift % 2 === 0 ? "cordon" : "restore", node });
  await expect
    .poll(async () => {
      const { chain } = await client.status();
      return chain.height - chain.sealedHeight;
    }, bounds)
    .toBe(0);
}

/** Everything that shows the chain says where it begins. */
async function expectTold(
  folder: string,
  at: readonly string[],
  { id, base, admin }: { readonly id: string; readonly base: number; readonly admin: string },
): Promise<void> {
  expect((await cli(folder, "status", ...at)).text).toContain(`blocks 1 to ${base} are archived`);
  expect((await cli(folder, "chain", "show", ...at)).text).toContain(`blocks 1 to ${base} are archived`);
  expect((await cli(folder, "formation", "explain", id.slice(0, 8), ...at)).text).toContain(
    `up to block ${base} are archived`,
  );
  const page = await (await fetch(`http://${admin}/metrics`)).text();
  expect(page).toContain(`revoada_chain_first_kept_height ${base + 1}\n`);
}

test(
  "an operator archives the chain of a node, which goes on, comes back, and verifies with the files",
  { timeout: 60_000 },
  async () => {
    const folder = temporaryDirectory();
    const directory = join(folder, "data");
    const at = ["--data-dir", directory];
    const first = await start(directory, {
      topology: "solo",
      strategy: "solo",
      listen: "127.0.0.1:0",
      bootstrap: true,
    });
    const { id, cluster } = first.status();
    const client = await connectNode(directory);
    await shifts(client, id, 6);
    await shifts(client, id, 24);
    // Of a block that goes, whichever the last one will be.
    const early = new Date((await client.chainShow()).blocks[1]?.timeMs ?? 0).toISOString();
    const none = await cli(folder, "chain", "archive", ...at);
    expect([none.code, none.text]).toEqual([2, expect.stringContaining("by the setting chainArchiveDir")]);
    const plan = await cli(folder, "chain", "archive", "--to", "archive", "--keep", "16", "--dry-run", ...at);
    expect(plan.text).toMatch(
      /^would archive blocks 1 to \d+ as [0-9a-f]{16}-0{11}1-\d{12}\.chain, \d+ bytes\nnothing was changed/,
    );
    const done = await cli(folder, "chain", "archive", "--to", "archive", "--keep", "16", ...at);
    expect(done).toMatchObject({
      code: 0,
      text: expect.stringMatching(/^archived blocks 1 to \d+ and dropped them: /),
    });
    const again = await cli(folder, "chain", "archive", "--to", "archive", "--keep", "16", ...at);
    expect(again.text).toMatch(
      /^nothing to archive: sealed up to \d+, kept from \d+, at least 16 sealed blocks stay\n$/,
    );
    const { chain } = await client.status();
    const base = chain.firstKeptHeight - 1;
    expect(base).toBeGreaterThan(0);
    await expectTold(folder, at, { id, base, admin: (await client.status()).admin });
    await client[Symbol.asyncDispose]();
    await first.stop();

    await start(directory);
    const later = await connectNode(directory);
    await shifts(later, id, 2);
    expect((await later.status()).chain.firstKeptHeight).toBe(base + 1);
    const [segment = ""] = readdirSync(join(folder, "archive"));
    const archived = join("archive", segment);
    expect((await cli(folder, "chain", "export", "-o", "kept.chain", ...at)).code).toBe(0);
    const kept = await cli(folder, "chain", "verify", "kept.chain", "--cluster", cluster);
    expect(kept).toMatchObject({ code: 0, text: expect.stringContaining(`${base + 1} to`) });
    const whole = await cli(folder, "chain", "verify", "kept.chain", archived, "--cluster", cluster);
    expect(whole).toMatchObject({ code: 0, text: expect.stringContaining(`2, 1 to ${base}, ${base + 1} to`) });

    const proof = ["chain", "prove", "--node", id, "--at", early];
    const refused = await cli(folder, ...proof, ...at);
    expect(refused.text).toContain(`blocks 1 to ${base} are archived`);
    expect(refused.text).toContain("CHAIN_INVALID");
    const files = ["--chain", archived, "--chain", "kept.chain", "--cluster", cluster];
    expect(await cli(folder, ...proof, ...files, "-o", "early.proof")).toMatchObject({ code: 0 });
    expect((await cli(folder, "chain", "verify", "early.proof", "--cluster", cluster)).code).toBe(0);

    copyFileSync(join(folder, archived), join(folder, "copy.chain"));
    const twice = await cli(folder, "chain", "verify", archived, "copy.chain", "kept.chain", "--cluster", cluster);
    expect(twice).toMatchObject({
      code: 1,
      text: expect.stringMatching(/overlap: copy\.chain: blocks 1 to \d+ are in more than one/),
    });
    const bytes = readFileSync(join(folder, archived));
    writeFileSync(join(folder, "copy.chain"), bytes.with(bytes.length >> 1, (bytes[bytes.length >> 1] as number) ^ 1));
    const broken = await cli(folder, "chain", "verify", "copy.chain", "kept.chain", "--cluster", cluster);
    expect(broken).toMatchObject({ code: 1, text: expect.stringContaining("copy.chain: ") });
    await later[Symbol.asyncDispose]();
  },
);
