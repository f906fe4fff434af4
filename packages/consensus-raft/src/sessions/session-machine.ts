import {
  InvalidValueError,
  InvariantError,
  type AnnexStateMachine,
  type AppliedEntry,
  type Logger,
  type LogIndex,
  type MachinePosition,
  type MachineSnapshot,
  type Metrics,
  type StateMachine,
} from "@revoada/fabric";
import type { RaftCodec } from "../driver/options.ts";
import { done, type Answer } from "./answer.ts";
import type { Envelope } from "./core/envelope.ts";
import { SessionTable, type SessionDecision, type Slot } from "./core/table.ts";
import { annexOf, loadAnnex } from "./annex.ts";
import { readSection, withSection } from "./section.ts";

/** Entries that go to the machine in one step, and what is known of each beforehand. */
interface Step<Command> {
  readonly end: number;
  readonly entries: readonly AppliedEntry<Command>[];
  /** Undefined for what the machine alone answers. */
  readonly known: readonly (SessionDecision | { readonly kind: "done" } | undefined)[];
}

/** What the table does is told to these. */
export interface SessionWatch {
  readonly logger: Logger;
  readonly metrics: Metrics;
}

type Results<Result> = readonly (Result | undefined)[];

function hasAnnex<Command, Result>(
  machine: StateMachine<Command, Result>,
): machine is AnnexStateMachine<Command, Result> {
  return machine.keepsAnnex === true;
}

/**
 * A machine behind a session table: what was applied before does not reach it again.
 *
 * Repeats and what is refused reach the machine as entries without a command, so that its position goes on. The table is part of
 * the state: in front of the snapshot of a machine in memory, in the annex of a durable one.
 */
export class SessionMachine<Command, Result> implements StateMachine<Envelope<Command>, Answer<Result>> {
  readonly durable: boolean;
  readonly #machine: StateMachine<Command, Result>;
  readonly #codec: RaftCodec<Command, Result>;
  readonly #watch: SessionWatch;
  readonly #table: SessionTable;

  /** Throws `FABRIC_INVALID_VALUE` for a durable machine that could not keep the table with its data. */
  constructor(machine: StateMachine<Command, Result>, codec: RaftCodec<Command, Result>, watch: SessionWatch) {
    if (machine.durable && !hasAnnex(machine))
      throw new InvalidValueError(
        "machine.keepsAnnex",
        machine.keepsAnnex,
        "true, as sessions ask of durable machines",
      );
    this.durable = machine.durable;
    this.#machine = machine;
    this.#codec = codec;
    this.#watch = watch;
    this.#table = new SessionTable({ tracksChanges: machine.durable });
    if (machine.durable && hasAnnex(machine)) loadAnnex(this.#table, machine.annex());
  }

  position(): MachinePosition {
    return this.#machine.position();
  }

  flushedIndex(): LogIndex {
    return this.#machine.flushedIndex();
  }

  flush(): Promise<void> {
    return this.#machine.flush();
  }

  apply(
    entries: readonly AppliedEntry<Envelope<Command>>[],
  ): readonly Answer<Result>[] | Promise<readonly Answer<Result>[]> {
    return this.#applyFrom(entries, 0, []);
  }

  #applyFrom(
    entries: readonly AppliedEntry<Envelope<Command>>[],
    from: number,
    answers: Answer<Result>[],
  ): readonly Answer<Result>[] | Promise<readonly Answer<Result>[]> {
    for (let at = from; at < entries.length;) {
      const step = this.#stepFrom(entries, at);
      const results = this.#run(step);
      if (results instanceof Promise) {
        return results.then((settled) => {
          this.#collect(step, settled, answers);
          return this.#applyFrom(entries, step.end, answers);
        });
      }
      this.#collect(step, results, answers);
      at = step.end;
    }
    this.#tell();
    return answers;
  }

  /** As many entries as can be decided before any of their results is known. */
  #stepFrom(entries: readonly AppliedEntry<Envelope<Command>>[], from: number): Step<Command> {
    const plain: AppliedEntry<Command>[] = [];
    const known: Step<Command>["known"][number][] = [];
    let pending = 0;
    let end = from;
    for (; end < entries.length; end += 1) {
      const entry = entries[end] as AppliedEntry<Envelope<Command>>;
      if (pending > 0 && this.#mustWait(entry, pending)) break;
      const decision = this.#decide(entry);
      if (decision?.kind === "apply") pending += 1;
      known.push(decision);
      plain.push(unwrapped(entry, decision));
    }
    return { end, entries: plain, known };
  }

  /** True where the results before it could change what this entry does. */
  #mustWait(entry: AppliedEntry<Envelope<Command>>, pending: number): boolean {
    if (entry.kind !== "command" || entry.command.kind === "plain") return false;
    return entry.command.kind !== "command" || !this.#table.hasRoom(pending);
  }

  #decide(entry: AppliedEntry<Envelope<Command>>): Step<Command>["known"][number] {
    if (entry.kind !== "command") return undefined;
    const { command: envelope, index, term } = entry;
    switch (envelope.kind) {
      case "plain":
        return undefined;
      case "open":
        this.#table.open(index, envelope.limits);
        return done;
      case "close":
        return this.#table.close(envelope.session) ? done : { kind: "refused", reason: "expired" };
      case "command":
        return this.#table.begin(envelope, index, term);
    }
  }

  #run(step: Step<Command>): Results<Result> | Promise<Results<Result>> {
    const machine = this.#machine;
    if (machine.durable && hasAnnex(machine)) {
      return machine.applyWithAnnex(step.entries, (results) => {
        this.#complete(step, results);
        return annexOf(this.#table);
      });
    }
    const results = machine.apply(step.entries);
    if (results instanceof Promise) {
      return results.then((settled) => {
        this.#complete(step, settled);
        return settled;
      });
    }
    this.#complete(step, results);
    return results;
  }

  /** The results are known: they are kept for repeats. */
  #complete(step: Step<Command>, results: Results<Result>): void {
    step.known.forEach((decision, at) => {
      if (decision?.kind === "apply") this.#table.complete(decision.slot, this.#encoded(results[at] as Result));
    });
  }

  #encoded(result: Result): Uint8Array | undefined {
    try {
      return this.#codec.encodeResult(result);
    } catch (error) {
      // The same on every replica, and the command has taken effect: only a repeat cannot be told what came of it.
      this.#watch.logger.error("a result could not be encoded and is not kept for its session", { error });
      return undefined;
    }
  }

  #collect(step: Step<Command>, results: Results<Result>, answers: Answer<Result>[]): void {
    step.known.forEach((decision, at) => {
      if (decision?.kind === "apply" && decision.slot.state === "pending")
        throw new InvariantError("the machine applied a command and did not ask for its annex");
      if (decision === undefined || decision.kind === "apply") {
        answers.push({ kind: "result", result: results[at] as Result });
      } else {
        answers.push(decision.kind === "repeat" ? this.#repeat(decision.slot) : decision);
      }
    });
  }

  #repeat(slot: Slot): Answer<Result> {
    this.#watch.metrics.count("revoada_raft_session_repeats_total");
    if (slot.state !== "kept") return { kind: "refused", reason: "not-kept" };
    return { kind: "repeat", index: slot.index, term: slot.term, result: slot.result };
  }

  #told = { expired: 0, size: -1, bytes: -1 };

  #tell(): void {
    const { expired, size, bytes } = this.#table;
    const { metrics } = this.#watch;
    const told = this.#told;
    if (size !== told.size) metrics.gauge("revoada_raft_sessions", size);
    if (bytes !== told.bytes) metrics.gauge("revoada_raft_session_bytes", bytes);
    if (expired !== told.expired) metrics.count("revoada_raft_sessions_expired_total", expired - told.expired);
    this.#told = { expired, size, bytes };
  }

  async snapshot(): Promise<MachineSnapshot> {
    if (this.durable) return this.#machine.snapshot();
    const picture = this.#table.capture();
    const snapshot = await this.#machine.snapshot();
    return {
      position: snapshot.position,
      chunks: () => withSection(picture, snapshot.chunks()),
      dispose: () => snapshot.dispose(),
    };
  }

  async restore(position: MachinePosition, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const machine = this.#machine;
    if (machine.durable && hasAnnex(machine)) {
      await machine.restore(position, chunks);
      loadAnnex(this.#table, machine.annex());
    } else {
      const { picture, rest } = await readSection(chunks);
      await machine.restore(position, rest);
      this.#table.load(picture);
    }
    this.#tell();
  }
}

/** What the machine gets to see: the command, or an entry without one. */
function unwrapped<Command>(
  entry: AppliedEntry<Envelope<Command>>,
  decision: Step<Command>["known"][number],
): AppliedEntry<Command> {
  if (entry.kind !== "command") return entry;
  const { index, term, command: envelope } = entry;
  const applies = decision === undefined || decision.kind === "apply";
  if (applies && "command" in envelope) return { kind: "command", index, term, command: envelope.command };
  return { kind: "noop", index, term };
}
