import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Disk, isFabricError } from "@revoada/fabric";
import { memoryDisk } from "@revoada/fabric/memory";
import { nodeDisk } from "@revoada/fabric/node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "disk-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return isFabricError(error) ? error.code : String(error);
  }
  return "resolved";
}

/** Everything that a program can see of a disk that works, as a list of what it saw. */
async function story(disk: Disk): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  await disk.makeDirectory("a/b");
  await disk.makeDirectory("a/b");
  seen.push(await codeOf(disk.open("a/f")), await disk.size("a/f"), await disk.list("a"), await disk.list("missing"));
  const file = await disk.open("a/f", { create: true });
  await file.write(3, [bytes(1, 2), bytes(), bytes(3)]);
  await file.datasync();
  await disk.syncDirectory("a");
  seen.push(
    await file.size(),
    [...(await file.read(0, 100))],
    [...(await file.read(5, 1))],
    [...(await file.read(99, 5))],
  );
  await file.truncate(4);
  await file.allocate(10);
  await file.allocate(5);
  seen.push(await file.size(), [...(await file.read(0, 10))]);
  await disk.rename("a/f", "a/g");
  await file.write(0, [bytes(9)]);
  const renamed = await disk.open("a/g");
  seen.push(await disk.list("a"), await disk.size("a/f"), [...(await renamed.read(0, 1))]);
  await renamed.close();
  seen.push(
    await codeOf(disk.rename("a/missing", "a/x")),
    await codeOf(disk.rename("a/g", "nowhere/x")),
    await codeOf(disk.syncDirectory("missing")),
  );
  seen.push(await codeOf(disk.open("nowhere/x", { create: true })), await disk.size("a/b"));
  await disk.remove("a/g");
  await disk.remove("a/g");
  seen.push([...(await file.read(0, 1))], await disk.list("a"));
  await file.close();
  seen.push(await codeOf(file.read(0, 1)), (await disk.freeBytes()) > 0);
  return seen;
}

describe("a disk of this host", () => {
  test("shows programs what the one in memory shows", async () => {
    expect(await story(nodeDisk(root))).toEqual(await story(memoryDisk()));
  });

  test("writes many buffers, more than the system takes at once, one behind the other", async () => {
    const disk = nodeDisk(root);
    const file = await disk.open("f", { create: true });
    const buffers = Array.from({ length: 3000 }, (_, index) => new Uint8Array(index % 5).fill(index));
    await file.write(7, buffers);
    const expected = Buffer.concat([Buffer.alloc(7), ...buffers]);
    expect(Buffer.compare(readFileSync(join(root, "f")), expected)).toBe(0);
    await file.close();
  });

  test("really occupies what it allocates", async () => {
    const file = await nodeDisk(root).open("f", { create: true });
    await file.allocate(3 * 1024 * 1024 + 5);
    await file.datasync();
    const { size, blocks } = statSync(join(root, "f"));
    expect(size).toBe(3 * 1024 * 1024 + 5);
    expect(blocks * 512).toBeGreaterThanOrEqual(size);
    await file.close();
  });

  test("makes files and directories for their owner only", async () => {
    const disk = nodeDisk(join(root, "new", "root"));
    await disk.makeDirectory("");
    await (await disk.open("f", { create: true })).close();
    expect(statSync(join(root, "new", "root", "f")).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, "new", "root")).mode & 0o777).toBe(0o700);
  });

  test("leads nowhere out of its root: neither by dots, nor from the top, nor by a link in the last place", async () => {
    writeFileSync(join(root, "secret"), "secret");
    const disk = nodeDisk(join(root, "inner"));
    await disk.makeDirectory("");
    for (const path of ["../secret", "a/../../secret", "/etc/passwd", "a//b", "./f", "a\\..\\b", "a\0b", "", "."]) {
      expect(await codeOf(disk.open(path, { create: true })), path).toBe("FABRIC_INVALID_VALUE");
      expect(await codeOf(disk.remove(path)), path).toBe("FABRIC_INVALID_VALUE");
      expect(await codeOf(disk.rename("f", path)), path).toBe("FABRIC_INVALID_VALUE");
    }
    symlinkSync(join(root, "secret"), join(root, "inner", "link"));
    expect(await codeOf(disk.open("link"))).toBe("DISK_IO");
    expect(existsSync(join(root, "secret"))).toBe(true);
  });

  test("names path, operation and system error in its errors", async () => {
    const disk = nodeDisk(root);
    await expect(disk.open("missing")).rejects.toMatchObject({
      code: "DISK_NOT_FOUND",
      path: "missing",
      message: "missing: open failed: ENOENT",
    });
    await disk.makeDirectory("d");
    await expect(disk.open("d", { create: true })).rejects.toMatchObject({
      code: "DISK_IO",
      message: expect.stringContaining("EISDIR") as string,
    });
    expect(await codeOf(nodeDisk(join(root, "missing")).freeBytes())).toBe("DISK_NOT_FOUND");
  });

  test.runIf(existsSync("/dev/full"))(
    "says DISK_FULL, retryable, where the system says that there is no room",
    async () => {
      const file = await nodeDisk("/dev").open("full");
      await expect(file.write(0, [bytes(1)])).rejects.toMatchObject({ code: "DISK_FULL", retryable: true });
      await file.close();
    },
  );

  test("goes on after a short write, and says what stopped it", () => {
    // The shell's limit on file sizes makes the kernel write a part first and refuse the rest.
    const program = `
      import { nodeDisk } from "@revoada/fabric/node";
      const file = await nodeDisk(process.argv[1]).open("f", { create: true });
      const outcome = await file.write(0, [new Uint8Array(600).fill(1), new Uint8Array(1000).fill(2)]).then(() => "written", (error) => error.message);
      console.log(outcome, await file.size());
    `;
    const node = `exec "$1" --conditions=@revoada/source --input-type=module-typescript -e "$2" "$3"`;
    const said = execFileSync("bash", ["-c", `ulimit -f 1; ${node}`, "bash", process.execPath, program, root], {
      encoding: "utf8",
      cwd: import.meta.dirname,
    });
    expect(said).toBe("f: write failed: EFBIG 1024\n");
    const content = readFileSync(join(root, "f"));
    expect([content.length, content[599], content[600]]).toEqual([1024, 1, 2]);
  });
});
