import { execFile, spawn } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { constants, copyFile, mkdir, open, readFile, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { TortureError } from "./watch.ts";

/** No command here takes longer than this unless something is wrong. */
const commandTimeoutMs = 30_000;
/** A file system is busy for as long as somebody has a file of it open. */
const unmountAttempts = 100;
const unmountPauseMs = 100;

interface Ran {
  readonly ok: boolean;
  readonly text: string;
}

function run(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: commandTimeoutMs }, (error, stdout, stderr) => {
      const text = `${stdout}${stderr}`.trim();
      resolve({ ok: error === null, text: text === "" && error !== null ? error.message : text });
    });
  });
}

async function must(program: string, ...args: readonly string[]): Promise<void> {
  const { ok, text } = await run(program, args);
  if (!ok) throw new TortureError(`${program} ${args.join(" ")} failed: ${text}`);
}

async function has(program: string, ...args: readonly string[]): Promise<boolean> {
  return (await run(program, args)).ok;
}

/** What a fault needs of the host. */
export type Need = "root" | "strace" | "loop";

/** Why this host cannot make a fault; undefined where it can. */
export async function missing(need: Need): Promise<string | undefined> {
  if (process.platform !== "linux") return "this is not Linux";
  if (process.getuid?.() !== 0) return "it takes root";
  if (need === "strace" && !(await has("strace", "-V"))) return "there is no strace";
  if (need === "loop" && !((await has("losetup", "--find")) && (await has("mkfs.ext4", "-V"))))
    return "there are no loop devices, or no mkfs.ext4";
  return undefined;
}

/** Ends in reverse order whatever was mounted, so that nothing stays behind on the host. */
export class Mounts implements AsyncDisposable {
  readonly #mounted: string[] = [];
  readonly #frozen = new Set<string>();

  /** A file system in memory. */
  async tmpfs(directory: string, bytes: number): Promise<void> {
    await mkdir(directory, { recursive: true });
    await must("mount", "-t", "tmpfs", "-o", `size=${bytes},mode=700`, "revoada-torture", directory);
    this.#mounted.push(directory);
  }

  /** Whoever looks here while nothing is mounted above can make no file, as on a host that is set up with care. */
  async barred(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true });
    await must("mount", "-t", "tmpfs", "-o", "size=4k,mode=700,ro", "revoada-torture", directory);
    this.#mounted.push(directory);
  }

  /** An ext4 file system in an image file, which is made where it is not there. Metadata is written when it is synced, else late. */
  async ext4(image: string, directory: string, bytes?: number): Promise<void> {
    await mkdir(directory, { recursive: true });
    if (bytes !== undefined) {
      await (await open(image, "w")).close();
      await must("truncate", "-s", String(bytes), image);
      await must("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image);
    }
    await must("mount", "-t", "ext4", "-o", "loop,noatime,commit=300,errors=remount-ro", image, directory);
    this.#mounted.push(directory);
  }

  /** Repairs what an aborted file system has left, as an operator would before it is mounted again. */
  async check(image: string): Promise<void> {
    // e2fsck(8): 1 says that errors were corrected.
    const { ok, text } = await run("sh", ["-c", `e2fsck -fy "$1"; test $? -le 1`, "sh", image]);
    if (!ok) throw new TortureError(`e2fsck ${image} failed: ${text}`);
  }

  /** Aborts an ext4 file system: read-only from now on, as after an error of its device. */
  async abort(directory: string): Promise<void> {
    await must("mount", "-o", "remount,abort", directory);
  }

  /** Whatever is written waits from now on, and so does every sync. */
  async freeze(directory: string): Promise<void> {
    this.#frozen.add(directory);
    await must("fsfreeze", "--freeze", directory);
  }

  async thaw(directory: string): Promise<void> {
    if (!this.#frozen.delete(directory)) return;
    await must("fsfreeze", "--unfreeze", directory);
  }

  async thawAll(): Promise<void> {
    for (const directory of this.#frozen) await this.thaw(directory);
  }

  /** Waits, within bounds, until nobody has a file open there. */
  async unmount(directory: string): Promise<void> {
    const at = this.#mounted.lastIndexOf(directory);
    if (at < 0) return;
    let last = "";
    for (let attempt = 0; attempt < unmountAttempts; attempt += 1) {
      const { ok, text } = await run("umount", [directory]);
      if (ok) {
        this.#mounted.splice(at, 1);
        return;
      }
      last = text;
      await new Promise<void>((resolve) => {
        setTimeout(resolve, unmountPauseMs);
      });
    }
    throw new TortureError(`${directory} could not be unmounted: ${last}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.thawAll();
    for (const directory of this.#mounted.toReversed()) {
      // The processes are gone by now; a lazy unmount is for what they may have left on its way.
      if (!(await has("umount", directory))) await must("umount", "--lazy", directory);
    }
    this.#mounted.length = 0;
  }
}

/**
 * Copies an image as a power cut would leave it: what was synced is there. Whoever wrote to it must have ended. Copies again where
 * the kernel has written to it meanwhile by itself.
 */
export async function copyAsAfterPowerCut(image: string, copy: string): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await copyFile(image, copy, constants.COPYFILE_FICLONE);
    if (await has("cmp", "--silent", image, copy)) return;
  }
  throw new TortureError(`${image} would not keep still`);
}

/** A file that takes all the room of its file system but so many bytes. */
export async function fillUp(directory: string, path: string, leaveBytes: number): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  const bytes = Math.max(0, bavail * bsize - leaveBytes);
  await must("fallocate", "-l", String(bytes), path);
  return bytes;
}

/** Files under `directory` that a process holds open although nobody can find them any more: room that does not come back. */
export function lostFiles(pid: number, directory: string): readonly string[] {
  const descriptors = join("/proc", String(pid), "fd");
  const links = readdirSync(descriptors).map((descriptor) => {
    try {
      return readlinkSync(join(descriptors, descriptor));
    } catch {
      // Closed meanwhile.
      return "";
    }
  });
  return links.filter((link) => link.startsWith(`${directory}/`) && link.endsWith(" (deleted)"));
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Makes system calls of a running process fail, for as long as it is attached. */
export class CallFault {
  readonly #ended: Promise<void>;
  readonly #interrupt: () => void;
  readonly #trace: string;

  private constructor(trace: string, ended: Promise<void>, interrupt: () => void) {
    this.#trace = trace;
    this.#ended = ended;
    this.#interrupt = interrupt;
  }

  /** Resolves once the fault is in force. `trace` is a file for what strace has seen. */
  static async inject(pid: number, calls: readonly string[], how: string, trace: string): Promise<CallFault> {
    const names = calls.join(",");
    const args = ["-f", "-o", trace, "-e", `trace=${names}`, "-e", `inject=${names}:${how}`, "-p", String(pid)];
    const child = spawn("strace", args, { stdio: ["ignore", "ignore", "pipe"] });
    const ended = new Promise<void>((resolve) => {
      child.once("error", () => resolve());
      child.once("exit", () => resolve());
    });
    const attached = new Promise<boolean>((resolve) => {
      let said = "";
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString("utf8");
        if (/attached/.test(said)) resolve(true);
      });
      void ended.then(() => resolve(false));
    });
    const fault = new CallFault(trace, ended, () => void child.kill("SIGINT"));
    if (!(await attached)) throw new TortureError(`strace could not attach to process ${pid}`);
    return fault;
  }

  /** How many calls have failed because of this. */
  async count(): Promise<number> {
    return (await readFile(this.#trace, "utf8")).split("(INJECTED)").length - 1;
  }

  /** Ends the fault; the process goes on. May be called twice. */
  async release(): Promise<void> {
    this.#interrupt();
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
