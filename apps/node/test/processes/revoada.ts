import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { isFabricError, prescribedHomelab, prescribedSolo, type FabricStrategy } from "@revoada/fabric";
import { onTestFinished } from "vitest";
import { connectNode, type NodeClient } from "../../src/client.ts";
import type { NodeStatus } from "../../src/daemon/status.ts";

const entry = new URL("../../src/main.ts", import.meta.url).pathname;
const nodeArguments = ["--conditions=@revoada/source", entry];
const pollMs = 50;

/** How long anything may take on a machine that is busy with other things. */
const deadlineMs = 30_000;

export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function collect(child: ChildProcess): { readonly out: () => string; readonly err: () => string } {
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  return { out: () => Buffer.concat(out).toString("utf8"), err: () => Buffer.concat(err).toString("utf8") };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    else child.once("close", (code) => resolve(code));
  });
}

/** Runs one command to its end. */
export function revoada(...words: readonly string[]): Promise<Finished> {
  return revoadaInto("pipe", ...words);
}

/** The same with another standard output. */
export async function revoadaInto(output: "pipe" | number, ...words: readonly string[]): Promise<Finished> {
  const child = spawn(process.execPath, [...nodeArguments, ...words], {
    stdio: ["ignore", output, "pipe"],
    timeout: deadlineMs,
  });
  const { out, err } = collect(child);
  const code = await ended(child);
  return { code, out: out(), err: err() };
}

/** A `revoada up` of its own process, ended with the test. */
export class Daemon {
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #output: ReturnType<typeof collect>;

  /** `place` is the data directory, and the network namespace where it is not the machine's own. */
  constructor(place: string | { readonly directory: string; readonly namespace: string }, ...words: readonly string[]) {
    const { directory, namespace } = typeof place === "string" ? { directory: place, namespace: undefined } : place;
    this.directory = directory;
    const line = [process.execPath, ...nodeArguments, "up", "--data-dir", directory, ...words];
    // `ip` becomes the program that it runs: the process is the daemon's.
    const [program = "", ...args] = namespace === undefined ? line : ["ip", "netns", "exec", namespace, ...line];
    this.#child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#output = collect(this.#child);
    onTestFinished(() => void this.#child.kill("SIGKILL"));
  }

  /** Resolves with a client once the daemon answers and `fits`. */
  async until(fits: (status: NodeStatus) => boolean, withinMs = deadlineMs): Promise<NodeStatus> {
    const look = async (): Promise<NodeStatus | undefined> => {
      if (this.#child.exitCode !== null)
        throw new Error(`the daemon ended with ${this.#child.exitCode}:\n${this.#output.err()}`);
      const status = await this.ask((node) => node.status()).catch((error: unknown) => {
        if (isFabricError(error)) return undefined;
        throw error;
      });
      return status !== undefined && fits(status) ? status : undefined;
    };
    return until(`${this.directory} to be as it should`, look, withinMs);
  }

  async ask<T>(work: (node: NodeClient) => Promise<T>): Promise<T> {
    const node = await connectNode(this.directory);
    try {
      return await work(node);
    } finally {
      await node[Symbol.asyncDispose]();
    }
  }

  /** Resolves once the daemon has said so, in its log or elsewhere. */
  async said(words: RegExp): Promise<void> {
    await until(`${this.directory} to say ${words}`, async () =>
      words.test(this.#output.out() + this.#output.err()) ? true : undefined,
    );
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves with the exit code and all that was said, once the process is gone. */
  async ended(): Promise<Finished> {
    const code = await ended(this.#child);
    return { code, out: this.#output.out(), err: this.#output.err() };
  }

  async stop(): Promise<Finished> {
    this.signal("SIGTERM");
    return this.ended();
  }
}

/** A founder and others that joined it, formed: three masters that vote, and the others at work. */
export async function formedCluster(folder: string, count: number): Promise<readonly Daemon[]> {
  const listen = ["--listen", "127.0.0.1:0"];
  const directory = (place: number): string => join(folder, `node-${place}`);
  const founder = new Daemon(directory(0), "--bootstrap", "--strategy", patientStrategy(folder, "homelab"), ...listen);
  await founder.until(({ consensus }) => consensus.quorum);
  const token = join(directory(0), "join-token");
  const others = Array.from({ length: count - 1 }, (_item, place) => {
    return new Daemon(directory(place + 1), "--join", token, ...listen);
  });
  const nodes = [founder, ...others];
  for (const node of nodes)
    await node.until(
      ({ members, mode }) =>
        mode === "read-write" &&
        members.length === count &&
        members.every(({ state, status }) => state === "active" && status === "alive"),
    );
  return nodes;
}

/** Writes one resource through a node. */
export async function write(node: Daemon, name: string): Promise<void> {
  const body = Buffer.from(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`);
  await node.ask((client) => client.face.apply({ format: "yaml", body }));
}

/** The names of all resources, as a node knows them. */
export async function written(node: Daemon): Promise<readonly string[]> {
  const { items } = await node.ask((client) => client.face.list({ kind: "ConfigMap" }, { format: "json" }));
  return items.map(({ ref }) => ref.name).toSorted();
}

/** Asks again until there is an answer. */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  withinMs: number = deadlineMs,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`);
    await pause(pollMs);
  }
}

/** A folder for data directories and files, gone with the test. */
export function workspace(): string {
  const folder = mkdtempSync(join(tmpdir(), "revoada-process-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The file of a strategy whose elections leave room for machines that are busy. */
export function patientStrategy(
  folder: string,
  kind: "solo" | "homelab",
  attestation: Partial<FabricStrategy["attestation"]> = {},
): string {
  const base: FabricStrategy = kind === "solo" ? prescribedSolo() : prescribedHomelab();
  const strategy: FabricStrategy = {
    ...base,
    name: `patient-${kind}`,
    consensus: { ...base.consensus, electionTimeoutMs: 1000 },
    attestation: { ...base.attestation, ...attestation },
  };
  const path = join(folder, `${kind}.json`);
  writeFileSync(path, JSON.stringify(strategy));
  return path;
}
