import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadOrCreateIdentity } from "@revoada/attest-blake3";
import { isFabricError, prescribedSolo, silentLogger, type NodeId } from "@revoada/fabric";
import { describe, expect, onTestFinished, test } from "vitest";
import { commands } from "../src/cli/commands.ts";
import { runCli } from "../src/cli/run.ts";
import { startNode } from "../src/daemon/daemon.ts";
import { decodeAnswer, decodeRequest, encodeAnswer, reviewRequest } from "../src/operator/request.ts";
import { captureIo, temporaryDirectory } from "./helpers.ts";

interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Desk {
  readonly folder: string;
  readonly id: NodeId;
  readonly cluster: string;
  run(line: string): Promise<Done>;
  stop(): Promise<void>;
}

function commandLine(folder: string): (line: string) => Promise<Done> {
  const environment = { REVOADA_DATA_DIR: join(folder, "data") };
  return async (line) => {
    const io = captureIo({ environment, workingDirectory: folder });
    const code = await runCli(line.split(" "), commands, io);
    return { code, out: io.out(), err: io.err() };
  };
}

function writeStrategy(folder: string): string {
  const { attestation, ...strategy } = prescribedSolo();
  const path = join(folder, "strategy.json");
  writeFileSync(path, JSON.stringify({ ...strategy, attestation: { ...attestation, requireOperatorSignature: true } }));
  return path;
}

function start(folder: string, strategy: string, operatorKeys?: readonly string[]): ReturnType<typeof startNode> {
  const config = {
    dataDir: join(folder, "data"),
    bootstrap: true,
    topology: "solo",
    strategy,
    listen: "127.0.0.1:0",
    adminListen: "127.0.0.1:0",
    logLevel: "silent",
    ...(operatorKeys === undefined ? {} : { operatorKeys }),
  } as const;
  return startNode({ config, logger: silentLogger, signal: new AbortController().signal });
}

/** A cluster of one that was founded with `first.key`, and a folder from which it is asked. */
async function desk(): Promise<Desk> {
  const folder = temporaryDirectory();
  const run = commandLine(folder);
  for (const name of ["first", "second"]) expect((await run(`operator create ${name}.key`)).code).toBe(0);
  const node = await start(folder, writeStrategy(folder), [join(folder, "first.key.pub")]);
  onTestFinished(() => node.stop());
  while (node.status().mode !== "read-write") await run("status");
  return { folder, run, id: node.status().id, cluster: node.status().cluster, stop: () => node.stop() };
}

function publicKey(folder: string, name: string): string {
  return readFileSync(join(folder, `${name}.key.pub`), "utf8").trim();
}

describe("an operator's key", () => {
  test("is made once, for its owner alone, with its public half beside it", async () => {
    const folder = temporaryDirectory();
    const run = commandLine(folder);
    const made = await run("operator create op.key");
    expect(made).toMatchObject({ code: 0, err: "" });
    expect(made.out).toBe(`${publicKey(folder, "op")}\n`);
    expect(statSync(join(folder, "op.key")).mode & 0o777).toBe(0o600);
    expect(await run("operator create op.key")).toEqual(made);
    expect((await loadOrCreateIdentity(join(folder, "op.key"))).identity.id).toBe(made.out.trim());
  });

  test("is needed where a cluster's strategy asks for it, and only there, before anything is made", async () => {
    const folder = temporaryDirectory();
    await commandLine(folder)("operator create op.key");
    const key = join(folder, "op.key.pub");
    const strategy = writeStrategy(folder);
    const invalid = expect.objectContaining({ code: "CONFIG_INVALID" });
    await expect(start(folder, strategy)).rejects.toThrow(invalid);
    await expect(start(folder, "solo", [key])).rejects.toThrow(invalid);
    writeFileSync(join(folder, "no.key"), "neither a key nor its public half\n");
    await expect(start(folder, strategy, [join(folder, "no.key")])).rejects.toThrow(invalid);
    await expect(start(folder, strategy, [join(folder, "none.key")])).rejects.toThrow(
      expect.objectContaining({ code: "CLI_FILE_UNAVAILABLE" }),
    );
    const node = await start(folder, strategy, [key]);
    await node.stop();
    // A node that has its cluster needs no key of anybody.
    await (await start(folder, strategy)).stop();
  });
});

describe("what waits for an operator", () => {
  test("is shown, signed where no node is, and brought back as signatures", async () => {
    const { run, id, cluster } = await desk();
    const waits = await run(`formation propose cordon ${id}`);
    expect(waits).toMatchObject({ code: 1, out: "" });
    expect(waits.err).toContain("CLUSTER_AWAITS_OPERATOR");
    const shown = await run("chain pending --out request");
    expect(shown).toMatchObject({ code: 0, err: "" });
    expect(shown.out).toContain("1 shift not made before an operator approves");
    expect(shown.out).toContain(`cordon ${id.slice(0, 12)}`);
    expect((await run("status")).out).toContain("1 shift not made before one approves");

    const signing = "chain cosign --request request --out answer";
    expect((await run(`${signing} --key second.key`)).err).toContain("OPERATOR_KEY_UNKNOWN");
    expect((await run(`${signing} --key first.key --cluster ${"0".repeat(64)}`)).err).toContain(
      "OPERATOR_FILE_INVALID",
    );
    const signed = await run(`${signing} --key first.key --cluster ${cluster}`);
    expect(signed).toMatchObject({ code: 0, err: "" });
    expect(signed.out).toContain("an operator: cordon");

    const brought = await run("chain cosign --in answer");
    expect(brought).toMatchObject({ code: 0, err: "" });
    expect(brought.out).toMatch(/signed: an operator: cordon \w+; the formation is at generation \d+\n/);
    expect((await run("formation")).out).toContain("cordoned");
    const again = await run("chain cosign --in answer");
    expect(again.code).toBe(1);
    expect(again.out).toContain("CHAIN_OTHER_APPROVAL");
    expect((await run("chain pending")).out).toContain("nothing waits for an operator\n");
  });

  test("is signed for at once with a key at hand, each shift by itself where that is asked for", async () => {
    const { folder, run, id, cluster } = await desk();
    await run(`formation propose cordon ${id}`);
    await run(`formation propose quarantine ${id}`);
    const pending = JSON.parse((await run("chain pending -o json")).out) as {
      readonly waiting: readonly { readonly id: string; readonly reason: string }[];
    };
    const cordon = pending.waiting.find(({ reason }) => reason.includes("cordon"))?.id ?? "";
    expect((await run("chain cosign --key first.key --shift 0123456789ab")).code).toBe(2);
    const one = await run(`chain cosign --key first.key --shift ${cordon}`);
    expect(one.code).toBe(0);
    expect((await run("chain cosign --key first.key --head-only")).code).toBe(0);
    await run("operator enrol second.key.pub");
    const rest = await run("chain cosign --key first.key");
    expect(rest.out).toContain("enrol the operator key");
    expect((await run(`formation explain ${id}`)).out).toContain("approved");
    // The exported chain names the keys, and says up to where an operator vouches for it.
    await run("chain pending");
    await run("chain export cluster.chain");
    const verdict = await run(`chain verify cluster.chain --cluster ${cluster} --operator-signed`);
    expect(verdict).toMatchObject({ code: 0, err: "" });
    expect(verdict.out).toContain(publicKey(folder, "second").slice(0, 12));
    expect(verdict.out).toMatch(/operator +signed up to \d+/);
  });
});

describe("an order with an operator's key at hand", () => {
  test("is signed for at once, and nothing else that waits is", async () => {
    const { run, id } = await desk();
    await run("operator enrol second.key.pub");
    const cordoned = await run(`formation propose cordon ${id} --key first.key`);
    expect(cordoned).toMatchObject({ code: 0, err: "" });
    expect(cordoned.out).toMatch(/: cordon; the formation is at generation \d+\n$/);
    const pending = JSON.parse((await run("chain pending -o json")).out) as { readonly waiting: readonly unknown[] };
    expect(pending.waiting).toMatchObject([{ transitions: [{ verb: "enrol" }] }]);
    const again = await run(`formation propose cordon ${id} --key first.key`);
    expect(again.out).toContain("all of it holds already");
  });

  test("is not even given where the key is not in force, and a dry run needs none", async () => {
    const { run, id } = await desk();
    for (const line of [`formation propose cordon ${id}`, `node remove ${id}`])
      expect((await run(`${line} --key second.key`)).err).toContain("OPERATOR_KEY_UNKNOWN");
    expect((await run(`formation propose cordon ${id} --dry-run --key second.key`)).out).toContain("would cordon");
    expect(JSON.parse((await run("chain pending -o json")).out)).toMatchObject({ waiting: [], dropped: [] });
  });

  test("that can be done no more is shown as dropped, with the reason", async () => {
    const { run, id } = await desk();
    await run("operator enrol second.key.pub");
    await run(`formation propose cordon ${id}`);
    expect(await run("operator rotate second.key.pub --key first.key")).toMatchObject({ code: 0, err: "" });
    // The leader looks through the orders with each of its rounds.
    for (;;) {
      const { out } = await run("chain pending");
      if (!out.includes("1 order dropped")) continue;
      expect(out).toMatch(/1 shift not made before an operator approves/);
      expect(out).toMatch(/an operator: enrol the operator key \w+ +all of it holds already\n/);
      break;
    }
  });
});

describe("operator keys on the command line", () => {
  test("are enrolled, exchanged and revoked by those in force, and the last one stays", async () => {
    const { folder, run } = await desk();
    const [first, second] = [publicKey(folder, "first"), publicKey(folder, "second")];
    expect((await run("operator enrol second.key.pub --key second.key")).err).toContain("OPERATOR_KEY_UNKNOWN");
    expect(await run(`operator enrol ${second} --key first.key`)).toMatchObject({ code: 0, err: "" });
    expect((await run("operator list")).out).toMatch(new RegExp(`${first} +genesis\n${second} +height \\d+\n`));
    expect((await run("operator create third.key")).code).toBe(0);
    expect(await run("operator rotate third.key --key first.key")).toMatchObject({ code: 0, err: "" });
    expect(await run("operator revoke second.key.pub --key third.key")).toMatchObject({ code: 0, err: "" });
    const last = await run("operator revoke third.key.pub --key third.key");
    expect(last.code).toBe(1);
    expect(last.err).toContain("it is the last operator key in force");
    expect((await run("operator enrol first.key.pub --key third.key")).err).toContain("TOPOLOGY_ILLEGAL_TRANSITION");
    expect((await run("operator list")).out).not.toContain(first);
    for (const line of [
      "chain cosign",
      "chain cosign --key first.key --request r",
      "chain cosign --in a --key first.key",
    ])
      expect((await run(line)).code).toBe(2);
    expect((await run("operator rotate second.key.pub")).code).toBe(2);
  });
});

test("the only voter's next key, which nobody can approve of while it is stopped, is refused with nothing changed", async () => {
  const { folder, run, stop } = await desk();
  await stop();
  const before = readFileSync(join(folder, "data", "identity.key"));
  expect((await run("key rotate")).err).toContain("CLUSTER_OFFLINE_REFUSED");
  expect(readFileSync(join(folder, "data", "identity.key"))).toEqual(before);
  const again = await start(folder, join(folder, "strategy.json"));
  await again.stop();
});

describe("a file for or from an operator", () => {
  test("that was altered, or cut, is refused or means the same", async () => {
    const { folder, run } = await desk();
    await run("operator enrol second.key.pub");
    await run("chain pending --out request");
    await run("chain cosign --key first.key --request request --out answer");
    const answer = new Uint8Array(readFileSync(join(folder, "answer")));
    const request = new Uint8Array(readFileSync(join(folder, "request")));
    expect(encodeAnswer(decodeAnswer(answer, "answer"))).toEqual(answer);
    let refusedRequests = 0;
    for (let place = 0; place < request.length; place += 11) {
      const altered = request.slice();
      altered[place] = (altered[place] ?? 0) ^ 1;
      try {
        // What cannot be known to be altered is only what nobody signs: the kind of a decision, and since when it waits.
        expect(reviewRequest(decodeRequest(altered, "request")).cluster).toHaveLength(64);
      } catch (error) {
        expect(isFabricError(error)).toBe(true);
        refusedRequests += 1;
      }
    }
    expect(refusedRequests).toBeGreaterThan(request.length / 22);
    for (const length of [0, 1, answer.length - 1])
      expect(() => decodeAnswer(answer.subarray(0, length), "answer")).toThrow(
        expect.objectContaining({ code: "OPERATOR_FILE_INVALID" }),
      );
    writeFileSync(join(folder, "answer"), request);
    expect((await run("chain cosign --in answer")).err).toContain("OPERATOR_FILE_INVALID");
  });
});
