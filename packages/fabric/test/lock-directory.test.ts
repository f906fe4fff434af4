import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFabricError } from "@revoada/fabric";
import { type DirectoryLock, type DirectoryLockedError, lockDirectory } from "@revoada/fabric/node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const program = join(import.meta.dirname, "programs", "lock.ts");

let directory = "";
let children: ChildProcessWithoutNullStreams[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lock-"));
  children = [];
});

afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

function start(plan: "wait" | "die"): ChildProcessWithoutNullStreams {
  const child = spawn(process.execPath, ["--conditions=@revoada/source", program, directory, plan]);
  children.push(child);
  return child;
}

/** Resolves when the child holds the lock. */
async function held(child: ChildProcessWithoutNullStreams): Promise<void> {
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  expect(said.toString()).toBe("held\n");
}

async function refusal(): Promise<DirectoryLockedError> {
  const error: unknown = await lockDirectory(directory).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(isFabricError(error, "DISK_LOCKED"), String(error)).toBe(true);
  return error as DirectoryLockedError;
}

/** The lock file of this process, with some of it changed. */
async function recordWith(change: Readonly<Record<string, unknown>>): Promise<string> {
  const lock = await lockDirectory(directory);
  const record = JSON.parse(readFileSync(join(directory, "lock"), "utf8")) as Record<string, unknown>;
  await lock.release();
  return JSON.stringify({ ...record, nonce: "ab".repeat(16), ...change });
}

/** What a directory holds where nothing but one lock is in it. */
function expectTidy(): void {
  expect(
    readdirSync(directory)
      .map((name) => name.replace(/[0-9a-f]{32}/, "N"))
      .toSorted(),
  ).toEqual(["lock", "lock.N.socket"]);
}

describe("a directory", () => {
  test("is locked once at a time, also within one process, and free again after its release", async () => {
    const lock = await lockDirectory(directory);
    expectTidy();
    const error = await refusal();
    expect(error.pid).toBe(process.pid);
    expect(error.message).toContain(String(process.pid));
    await lock.release();
    await lock.release();
    expect(readdirSync(directory)).toEqual([]);
    await using again = await lockDirectory(directory);
    expect(again.directory).toBe(directory);
  });

  test("that does not exist is DISK_NOT_FOUND", async () => {
    const missing = lockDirectory(join(directory, "missing"));
    await expect(missing).rejects.toMatchObject({ code: "DISK_NOT_FOUND" });
  });

  test("with a path too long for a socket is locked all the same", async () => {
    const long = join(directory, "a".repeat(120));
    mkdirSync(long);
    const lock = await lockDirectory(long);
    expect(readdirSync(long)).toEqual(["lock"]);
    await expect(lockDirectory(long)).rejects.toMatchObject({ code: "DISK_LOCKED" });
    await lock.release();
  });

  test("that another process holds names that process, and is free as soon as it is killed", async () => {
    const child = start("wait");
    await held(child);
    expect((await refusal()).pid).toBe(child.pid);
    child.kill("SIGKILL");
    await once(child, "exit");
    await using lock = await lockDirectory(directory);
    expectTidy();
    expect(lock.directory).toBe(directory);
  });

  test("that a process releases is left empty", async () => {
    const child = start("wait");
    await held(child);
    child.stdin.end();
    await once(child, "exit");
    expect(readdirSync(directory)).toEqual([]);
  });

  test("is held by one process at a time, while each holder dies without releasing", async () => {
    const waiting = Array.from({ length: 8 }, () => {
      const child = start("die");
      let complaint = "";
      child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
      return once(child, "exit").then(() => ({ signal: child.signalCode, complaint }));
    });
    const ends = await Promise.all(waiting);
    expect(ends).toEqual(ends.map(() => ({ signal: "SIGKILL", complaint: "" })));
    await using lock = await lockDirectory(directory);
    expectTidy();
    expect(lock.directory).toBe(directory);
  });
});

describe("a lock that is left behind", () => {
  test("by a process whose number another process has now is taken over", async () => {
    writeFileSync(join(directory, "lock"), await recordWith({ startTicks: "1" }));
    await using lock = await lockDirectory(directory);
    expectTidy();
    expect(lock.directory).toBe(directory);
  });

  test("by the machine's former life is taken over, although its process number runs", async () => {
    writeFileSync(join(directory, "lock"), await recordWith({ bootId: "another boot" }));
    await using lock = await lockDirectory(directory);
    expect(lock.directory).toBe(directory);
  });

  test.each(["", "{", "{}", "null", '{"pid":-1,"nonce":"x"}', "x".repeat(10_000)])(
    "as %s, which says nothing, is taken over",
    async (text) => {
      writeFileSync(join(directory, "lock"), text);
      await using lock = await lockDirectory(directory);
      expectTidy();
      expect(lock.directory).toBe(directory);
    },
  );

  test("with a successor that died before it was done is taken over", async () => {
    const dead = { pid: 1, bootId: "another boot", listens: false };
    const [first, second] = ["1", "2"].map((digit) => digit.repeat(32));
    writeFileSync(join(directory, "lock"), JSON.stringify({ ...dead, nonce: first }));
    writeFileSync(join(directory, `lock.successor-of.${first}`), JSON.stringify({ ...dead, nonce: second }));
    writeFileSync(join(directory, `lock.${second}`), JSON.stringify({ ...dead, nonce: second }));
    await using lock = await lockDirectory(directory);
    expectTidy();
    expect(lock.directory).toBe(directory);
  });

  test("is taken over by one of many that try at once", async () => {
    writeFileSync(join(directory, "lock"), await recordWith({ startTicks: "1" }));
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(directory)));
    const winners = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    const losers = outcomes.flatMap((outcome) =>
      outcome.status === "rejected" ? [(outcome.reason as { code: string }).code] : [],
    );
    expect(winners).toHaveLength(1);
    expect(new Set(losers)).toEqual(new Set(["DISK_LOCKED"]));
    expectTidy();
    await (winners[0] as DirectoryLock).release();
  });
});

describe("a lock of another container", () => {
  const foreign = { pidNamespace: "pid:[1]", pid: 1 };

  test("holds while its socket answers, and is taken over once its kernel has closed it", async () => {
    writeFileSync(join(directory, "lock"), await recordWith({ ...foreign, listens: true }));
    const server = createServer();
    server.listen(join(directory, `lock.${"ab".repeat(16)}.socket`));
    await once(server, "listening");
    await refusal();
    server.close();
    await once(server, "close");
    await using lock = await lockDirectory(directory);
    expectTidy();
    expect(lock.directory).toBe(directory);
  });

  test("holds where nothing can be found out about it", async () => {
    writeFileSync(join(directory, "lock"), await recordWith({ ...foreign, listens: false }));
    await refusal();
  });
});
