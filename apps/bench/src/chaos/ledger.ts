import { isFabricError } from "@revoada/fabric";
import { isDefiniteRefusal, readEntries, writtenNamespace, type Daemon } from "@revoada/node/unstable/fleet";
import { checkLinearizable, type Operation } from "@revoada/simulation";

const registerCount = 8;
/** Between two operations of one caller, so that the daemons and not their callers are what is busy. */
const thinkMs = 25;
/** More than this many findings say no more. */
const maxFindings = 10;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

type Kind = "entry" | "put" | "get";

/** One caller for each daemon, which writes and reads through that daemon alone, and what each was told. */
export class Ledger {
  acknowledged = 0;
  unknown = 0;
  refused = 0;
  /** The longest time without any acknowledged write so far. */
  longestGapMs = 0;
  readonly #daemons: readonly Daemon[];
  readonly #random: () => number;
  readonly #history: Operation[] = [];
  readonly #entries = new Map<string, string>();
  readonly #surprises: string[] = [];
  readonly #endedInMs: { readonly daemon: Daemon; readonly atMs: number; readonly tookMs: number }[] = [];
  #lastAcknowledgedMs = performance.now();
  #running: Promise<void>[] = [];
  #stopped = false;
  #next = 0;
  #burst = false;
  #padding = "";

  constructor(daemons: readonly Daemon[], random: () => number) {
    this.#daemons = daemons;
    this.#random = random;
  }

  start(): void {
    this.#stopped = false;
    this.#lastAcknowledgedMs = performance.now();
    this.#running = this.#daemons.map((daemon) => this.#call(daemon));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  /** From now on callers do not pause between two operations, or do again. */
  hurry(burst: boolean): void {
    this.#burst = burst;
  }

  /** From now on every entry weighs so many bytes more. */
  burden(bytes: number): void {
    this.#padding = "x".repeat(bytes);
  }

  /** The longest that a call took to its end among those that ended at these daemons since then. */
  longestCallMs(daemons: readonly Daemon[], sinceMs: number): number {
    const calls = this.#endedInMs.filter(({ daemon, atMs }) => atMs >= sinceMs && daemons.includes(daemon));
    return Math.max(0, ...calls.map(({ tookMs }) => tookMs));
  }

  /** What is wrong with what callers were told, read back through one daemon; nothing where all is well. */
  async judge(daemon: Daemon): Promise<readonly string[]> {
    const findings = [...this.#surprises];
    findings.push(...lostEntries(this.#entries, await readEntries(daemon)));
    const verdict = checkLinearizable(this.#history);
    if (verdict.verdict !== "linearizable")
      findings.push(`what callers of register ${verdict.key} saw is ${verdict.verdict}`);
    if (this.acknowledged < this.#daemons.length)
      findings.push(`only ${this.acknowledged} operations succeeded: that proves nothing`);
    return findings.slice(0, maxFindings);
  }

  async #call(daemon: Daemon): Promise<void> {
    while (!this.#stopped) {
      if (!this.#burst || !daemon.isRunning()) await pause(thinkMs);
      if (!daemon.isRunning()) continue;
      const draw = this.#random();
      await this.#operate(daemon, draw < 0.3 ? "entry" : draw < 0.65 ? "put" : "get");
    }
  }

  async #operate(daemon: Daemon, kind: Kind): Promise<void> {
    const id = (this.#next += 1);
    // One length for all, so that no value is part of another one.
    const value = `value-${String(id).padStart(9, "0")}`;
    const name = kind === "entry" ? `entry-${id}` : `register-${Math.floor(this.#random() * registerCount)}`;
    const invokedAt = performance.now();
    const call = kind === "get" ? ({ kind: "get" } as const) : ({ kind: "put", value } as const);
    const operation = { id, key: name, call, invokedAt };
    try {
      const answer =
        kind === "get"
          ? await read(daemon, name)
          : await write(daemon, { name, value, padding: kind === "entry" ? this.#padding : "" });
      this.#acknowledge(kind !== "get");
      if (kind === "entry") this.#entries.set(name, value);
      else this.#history.push({ ...operation, respondedAt: performance.now(), answer });
    } catch (error) {
      if (isDefiniteRefusal(error)) this.refused += 1;
      else {
        this.unknown += 1;
        if (kind === "put") this.#history.push({ ...operation, respondedAt: Infinity });
        if (!isFabricError(error)) this.#surprises.push(`${kind} ${name}: ${String(error)}`);
      }
      await pause(thinkMs);
    }
    const atMs = performance.now();
    this.#endedInMs.push({ daemon, atMs, tookMs: atMs - invokedAt });
  }

  #acknowledge(isWrite: boolean): void {
    this.acknowledged += 1;
    if (!isWrite) return;
    const nowMs = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastAcknowledgedMs);
    this.#lastAcknowledgedMs = nowMs;
  }
}

/** Entries that were acknowledged and are not there, or not as they were written. */
export function lostEntries(
  acknowledged: ReadonlyMap<string, string>,
  held: ReadonlyMap<string, string>,
): readonly string[] {
  return [...acknowledged]
    .filter(([name, value]) => held.get(name) !== value)
    .map(([name, value]) => `lost: ${name} was acknowledged as ${value} and is ${held.get(name) ?? "not there"}`);
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, forMs);
  });
}

interface Written {
  readonly name: string;
  readonly value: string;
  readonly padding: string;
}

async function write(daemon: Daemon, { name, value, padding }: Written): Promise<string> {
  const namespace = name.startsWith("entry-") ? writtenNamespace : "registers";
  const resource = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data: { value, padding } };
  const body = encoder.encode(JSON.stringify(resource));
  await daemon.ask((client) => client.face.apply({ format: "json", body, source: name }));
  return "true";
}

async function read(daemon: Daemon, name: string): Promise<string> {
  try {
    const ref = { kind: "ConfigMap", name, namespace: "registers" };
    const { body } = await daemon.ask((client) => client.face.get(ref, { format: "json" }));
    return (JSON.parse(decoder.decode(body)) as { readonly data: { readonly value: string } }).data.value;
  } catch (error) {
    if (isFabricError(error, "FACE_RESOURCE_NOT_FOUND")) return "";
    throw error;
  }
}
