/** What the demonstration found, as `--json` prints it. Times in milliseconds of monotonic clocks. */
export interface DemonstrationResult {
  readonly nodes: number;
  /** From the first process started to the whole formation. */
  readonly formedMs: number;
  /** Resources of the manifests that were applied and read back from every node. */
  readonly applied: number;
  readonly acknowledgedWrites: number;
  /** Acknowledged writes that a replica did not give back at the end. */
  readonly lostWrites: number;
  readonly unknownWrites: number;
  /** From the leader's SIGKILL to the first acknowledgement of a write that began after it. */
  readonly writeBackMs: number;
  /** From the leader's SIGKILL to three living masters that vote, sealed. */
  readonly reformedMs: number;
  /** Who took the dead master's place. */
  readonly promoted: string;
  /** From the victim's restart to its replica being level with the leader's. */
  readonly victimCaughtUpMs: number;
  readonly chain: { readonly blocks: number; readonly sealed: number; readonly verified: boolean };
  /** One per replica, all at the same applied index. */
  readonly stateHashes: readonly string[];
  readonly ok: boolean;
}

/** Where progress goes: to people while it happens, or nowhere. */
export interface Progress {
  step(text: string): void;
  done(text: string): void;
  note(text: string): void;
}

interface TimelineEntry {
  readonly atMs: number;
  readonly text: string;
}

/** What happened when, counted from the beginning. */
export class Timeline implements Progress {
  readonly entries: TimelineEntry[] = [];
  readonly #startMs = performance.now();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  elapsedMs(): number {
    return performance.now() - this.#startMs;
  }

  step(text: string): void {
    this.#print(`${this.#stamp()}  … ${text}`);
  }

  done(text: string): void {
    this.entries.push({ atMs: this.elapsedMs(), text });
    this.#print(`${this.#stamp()}  ✓ ${text}`);
  }

  note(text: string): void {
    this.#print(`             ${text}`);
  }

  #stamp(): string {
    return `${(this.elapsedMs() / 1000).toFixed(2).padStart(7)} s`;
  }
}

/** The whole story at the end, for people. */
export function summarize(result: DemonstrationResult, timeline: Timeline): string {
  const lines = ["", "What happened"];
  for (const { atMs, text } of timeline.entries) lines.push(`  ${(atMs / 1000).toFixed(2).padStart(6)} s  ${text}`);
  const facts: readonly (readonly [string, string])[] = [
    ["five processes → one formation", `${Math.round(result.formedMs)} ms`],
    ["leader killed → next write acknowledged", `${Math.round(result.writeBackMs)} ms`],
    [
      "leader killed → formation whole again",
      `${Math.round(result.reformedMs)} ms (${result.promoted.slice(0, 12)} was promoted)`,
    ],
    ["victim restarted → caught up", `${Math.round(result.victimCaughtUpMs)} ms`],
    [
      "writes",
      `${result.acknowledgedWrites} acknowledged, ${result.lostWrites} lost, ${result.unknownWrites} of unknown outcome`,
    ],
    [
      "state hashes",
      `${result.stateHashes.length} replicas, ${new Set(result.stateHashes).size === 1 ? "all equal" : "DIFFERENT"}`,
    ],
    [
      "chain",
      `${result.chain.blocks} blocks, sealed up to ${result.chain.sealed}, ${result.chain.verified ? "verified offline" : "NOT VERIFIED"}`,
    ],
  ];
  lines.push("", "Figures");
  for (const [name, value] of facts) lines.push(`  ${name.padEnd(42)} ${value}`);
  return `${lines.join("\n")}\n`;
}
