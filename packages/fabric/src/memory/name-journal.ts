import type { Random } from "../seams/clock.ts";
import type { CrashOutcome, SectorFile } from "./sector-file.ts";

/** What a path names. */
type Named = SectorFile | "directory";

/** One change of names that no `syncDirectory` has covered: paths and what they name afterwards (undefined: nothing). */
type NameChange = ReadonlyMap<string, Named | undefined>;

/** The names of a disk: those that programs see, those that are durable, and the changes in between, in order. */
export class NameJournal {
  #current: Map<string, Named> = new Map();
  #durable: Map<string, Named> = new Map();
  #changes: NameChange[] = [];

  file(path: string): SectorFile | undefined {
    const named = this.#current.get(path);
    return named === "directory" ? undefined : named;
  }

  isDirectory(path: string): boolean {
    return path === "" || this.#current.get(path) === "directory";
  }

  /** Names of the files directly in a directory, sorted. */
  list(directory: string): readonly string[] {
    const names: string[] = [];
    for (const [path, named] of this.#current) {
      if (named !== "directory" && directoryOf(path) === directory) names.push(path.slice(path.lastIndexOf("/") + 1));
    }
    return names.toSorted();
  }

  link(path: string, file: SectorFile): void {
    this.#change(new Map([[path, file]]));
  }

  makeDirectory(path: string): void {
    this.#change(new Map([[path, "directory" as const]]));
  }

  unlink(path: string): void {
    this.#change(new Map([[path, undefined]]));
  }

  rename(from: string, to: string): void {
    if (from === to) return;
    this.#change(
      new Map<string, Named | undefined>([
        [from, undefined],
        [to, this.#current.get(from)],
      ]),
    );
  }

  /** Makes the changes in one directory durable, and earlier ones that they build upon. */
  sync(directory: string): void {
    const wanted = new Set<string>();
    const kept: NameChange[] = [];
    const applied: NameChange[] = [];
    for (const change of this.#changes.toReversed()) {
      const paths = [...change.keys()];
      const concerned = paths.some((path) => directoryOf(path) === directory || wanted.has(path));
      if (concerned) for (const path of paths) wanted.add(path);
      (concerned ? applied : kept).push(change);
    }
    for (const change of applied.toReversed()) apply(this.#durable, change);
    this.#changes = kept.toReversed();
  }

  /** Bytes of every file that has a name, now or after a crash. */
  usedBytes(): number {
    const files = new Set<SectorFile>();
    for (const named of this.#current.values()) if (named !== "directory") files.add(named);
    for (const named of this.#durable.values()) if (named !== "directory") files.add(named);
    let used = 0;
    for (const file of files) used += file.size;
    return used;
  }

  crash(outcome: CrashOutcome, random: Random): void {
    const left = this.afterCrash(outcome, random);
    this.#current = left.#current;
    this.#durable = left.#durable;
    this.#changes = [];
  }

  /** A copy as a crash would leave it. */
  afterCrash(outcome: CrashOutcome, random: Random): NameJournal {
    const names = new Map(this.#durable);
    for (const change of this.#changes.slice(0, this.#survivors(outcome, random))) apply(names, change);
    dropOrphans(names);
    const copies = new Map<SectorFile, SectorFile>();
    for (const [path, named] of names) {
      if (named === "directory") continue;
      const copy = copies.get(named) ?? named.afterCrash(outcome, random);
      copies.set(named, copy);
      names.set(path, copy);
    }
    const left = new NameJournal();
    left.#current = names;
    left.#durable = new Map(names);
    return left;
  }

  /** A journal keeps order: of the changes a prefix survives. */
  #survivors(outcome: CrashOutcome, random: Random): number {
    if (outcome === "nothing-lost") return this.#changes.length;
    if (outcome === "unsynced-lost") return 0;
    return Math.floor(random.float() * (this.#changes.length + 1));
  }

  #change(change: NameChange): void {
    apply(this.#current, change);
    this.#changes.push(change);
  }
}

function apply(names: Map<string, Named>, change: NameChange): void {
  for (const [path, named] of change) {
    if (named === undefined) names.delete(path);
    else names.set(path, named);
  }
}

/** A name whose directory did not survive leads nowhere. */
function dropOrphans(names: Map<string, Named>): void {
  for (const path of [...names.keys()].toSorted()) {
    const directory = directoryOf(path);
    if (directory !== "" && names.get(directory) !== "directory") names.delete(path);
  }
}

function directoryOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
