import type { Daemon } from "@revoada/node/unstable/fleet";

type Status = Awaited<ReturnType<Daemon["status"]>>;

/** What of a node is told: what gossip says, what is committed, and what it says of itself. */
export type Aspect = "liveness" | "place" | "leads" | "condition" | "answers";

/** One observer saw one thing change. Times in milliseconds since the beginning of the scenario. */
export interface Change {
  readonly atMs: number;
  readonly observer: string;
  readonly subject: string;
  readonly aspect: Aspect;
  readonly from: string;
  readonly to: string;
}

/** What was done to the cluster, and when. */
export interface Deed {
  readonly atMs: number;
  readonly deed: string;
}

const pollMs = 100;
/** The same change seen by several within this time is one line. */
const mergeWithinMs = 1500;

/** Everything that one node says, as a flat list of aspects. */
type View = ReadonlyMap<string, string>;

/** Asks every daemon again and again what it sees, and keeps what changes. */
export class Timeline {
  readonly changes: Change[] = [];
  readonly deeds: Deed[] = [];
  readonly #daemons: readonly Daemon[];
  readonly #beganMs = performance.now();
  readonly #beganWallMs = Date.now();
  readonly #views = new Map<Daemon, View>();
  readonly #timers: NodeJS.Timeout[] = [];
  #stopped = false;

  constructor(daemons: readonly Daemon[]) {
    this.#daemons = daemons;
  }

  get nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  /** How a daemon is called in what is printed: `n1`, `n2`, and so on. */
  nameOf(daemon: Daemon): string {
    return `n${this.#daemons.indexOf(daemon) + 1}`;
  }

  nameOfId(id: string): string {
    const daemon = this.#daemons.find((each) => each.id === id);
    return daemon === undefined ? id.slice(0, 8) : this.nameOf(daemon);
  }

  /** Says that something was done: now, or at a time by the host's clock. */
  note(deed: string, wallMs?: number): void {
    this.deeds.push({ atMs: wallMs === undefined ? this.nowMs : wallMs - this.#beganWallMs, deed });
  }

  start(): void {
    for (const daemon of this.#daemons) this.#ask(daemon);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** The last that a daemon was heard to say of a subject. */
  last(daemon: Daemon, subject: string, aspect: Aspect): string | undefined {
    return this.#views.get(daemon)?.get(`${subject} ${aspect}`);
  }

  #ask(daemon: Daemon): void {
    if (this.#stopped) return;
    const again = (): void => void this.#timers.push(setTimeout(() => this.#ask(daemon), pollMs));
    if (!daemon.isRunning()) {
      this.#put(daemon, new Map([[`${this.nameOf(daemon)} answers`, "no"]]));
      again();
      return;
    }
    daemon.status().then(
      (status) => {
        this.#put(daemon, this.#viewOf(daemon, status));
        again();
      },
      // It has just ended, or starts: the next question tells.
      () => again(),
    );
  }

  #viewOf(daemon: Daemon, status: Status): View {
    const own = this.nameOf(daemon);
    const view = new Map([
      [`${own} answers`, "yes"],
      [`${own} condition`, `${status.condition}, ${status.mode}`],
    ]);
    for (const member of status.members) {
      const subject = this.nameOfId(member.id);
      const { state, role, replica } = member;
      view.set(`${subject} liveness`, member.status);
      view.set(`${subject} place`, [role ?? state, ...(role === undefined ? [] : [state]), replica].join("/"));
    }
    const { leader, leaderTerm } = status.consensus;
    view.set(`cluster leads`, leader === undefined ? "nobody" : `${this.nameOfId(leader)} (term ${leaderTerm})`);
    return view;
  }

  #put(daemon: Daemon, view: View): void {
    const before = this.#views.get(daemon);
    this.#views.set(daemon, view);
    if (before === undefined || this.#stopped) return;
    const atMs = this.nowMs;
    const observer = this.nameOf(daemon);
    for (const [key, to] of view) {
      const from = before.get(key);
      const [subject, aspect] = key.split(" ") as [string, Aspect];
      if (from !== to && !(from === undefined && aspect !== "answers"))
        this.changes.push({ atMs, observer, subject, aspect, from: from ?? "?", to });
    }
  }
}

/** A line of the printed timeline: one change, by all who saw it at about the same time. */
export interface Line {
  readonly fromMs: number;
  toMs: number;
  readonly observers: string[];
  readonly text: string;
}

const verbs: Readonly<Record<Aspect, string>> = {
  liveness: "",
  place: "is",
  leads: "led by",
  condition: "says",
  answers: "answers",
};

/** Merges changes that say the same into lines, in the order of time, what was done among them. */
export function linesOf(changes: readonly Change[], deeds: readonly Deed[]): readonly Line[] {
  const lines: Line[] = deeds.map(({ atMs, deed }) => ({ fromMs: atMs, toMs: atMs, observers: [], text: `» ${deed}` }));
  const open = new Map<string, Line>();
  for (const { atMs, observer, subject, aspect, from, to } of changes.toSorted((a, b) => a.atMs - b.atMs)) {
    const text = [subject, verbs[aspect], `${from} → ${to}`].filter((word) => word !== "").join(" ");
    const known = open.get(text);
    if (known !== undefined && atMs - known.fromMs <= mergeWithinMs && !known.observers.includes(observer)) {
      known.observers.push(observer);
      known.toMs = atMs;
      continue;
    }
    const line: Line = { fromMs: atMs, toMs: atMs, observers: [observer], text };
    open.set(text, line);
    lines.push(line);
  }
  return lines.toSorted((a, b) => a.fromMs - b.fromMs);
}

/** One line, as it is printed: when, who saw it, and what. */
export function printed({ fromMs, toMs, observers, text }: Line): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const span = seconds(fromMs) === seconds(toMs) ? seconds(fromMs) : `${seconds(fromMs)}–${seconds(toMs)}`;
  const who = observers.toSorted().join(" ");
  return `${span.padStart(11)} s  ${who.padEnd(20)} ${text}`;
}
