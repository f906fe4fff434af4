import {
  type Configuration,
  type LogBase,
  type LogIndex,
  type LogStore,
  type RecoveredLog,
  type StateMachine,
  type StoreId,
  type Term,
} from "@revoada/fabric";
import { decodeConfiguration } from "../core/configuration-codec.ts";
import { checkConfiguration } from "../core/configuration.ts";
import type { CoreLogState, IndexedConfiguration } from "../core/types.ts";
import {
  RaftLogCorruptError,
  RaftMachineBehindError,
  RaftOtherStoreError,
  RaftSnapshotDamagedError,
} from "../errors.ts";
import type { ResolvedOptions } from "./options.ts";
import { latestSnapshot, readSnapshot } from "./snapshot-files.ts";

/** A log that is open, and meets its machine. */
export interface OpenedLog {
  readonly store: LogStore;
  readonly storeId: StoreId;
  readonly state: CoreLogState;
}

const scanBytes = 4 * 1024 * 1024;

/**
 * Opens the log and brings machine and log together, whatever a crash has left.
 *
 * The snapshot of a machine that does not survive restarts is loaded; a log that ends before the machine's position, or tells
 * another story there, is begun anew behind it: a snapshot was being installed. `failed` names the store whose log has failed in
 * this process: no other one takes its place, because a disk that is not mounted looks like an empty one. Rejects with
 * `RAFT_MACHINE_BEHIND`, `RAFT_SNAPSHOT_DAMAGED`, `RAFT_LOG_CORRUPT`, `RAFT_OTHER_STORE`, and with what the log store rejects with.
 */
export async function openLog<Command, Result>(
  options: ResolvedOptions<Command, Result>,
  machine: StateMachine<Command, Result>,
  failed?: StoreId,
): Promise<OpenedLog> {
  const store = options.logStore();
  try {
    const found = await store.open();
    if (failed !== undefined && found.storeId !== failed) throw new RaftOtherStoreError(failed, found.storeId);
    const recovered = await bootstrap(options, store, found);
    await loadSnapshot(options, machine, recovered);
    const scanned = await scanConfigurations(store, recovered);
    // Before anything is changed: an operator must find what was there.
    refuseLoneCorruption(options, recovered, scanned);
    const log = await align(store, recovered, scanned, machine);
    const state: CoreLogState = {
      hardState: log.hardState,
      base: log.base,
      lastIndex: log.lastIndex,
      integrity: log.integrity,
      configurations: scanned.filter((known) => known.index > log.base.index && known.index <= log.lastIndex),
      term: (index) => store.term(index as LogIndex),
    };
    return { store, storeId: log.storeId, state };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The first configuration goes into the base of an empty log, where it is as durable as anything. */
async function bootstrap<Command, Result>(
  options: ResolvedOptions<Command, Result>,
  store: LogStore,
  log: RecoveredLog,
): Promise<RecoveredLog> {
  const { bootstrap: initial } = options;
  const fresh =
    log.lastIndex === 0 && log.base.index === 0 && log.base.configuration === undefined && log.hardState.term === 0;
  if (initial === undefined || !fresh || log.integrity !== "ok") return log;
  const self = { id: options.id, storeId: log.storeId };
  const configuration = checkConfiguration(typeof initial === "function" ? initial(self) : initial, "bootstrap");
  const base: LogBase = { index: 0 as LogIndex, term: 0 as Term, configuration };
  await store.reset(base, { term: 0 as Term, commitIndex: 0 as LogIndex });
  return { ...log, base };
}

/** Where the newest snapshot is damaged, an older one does as well, if the log leads on from it. */
async function loadSnapshot<Command, Result>(
  options: ResolvedOptions<Command, Result>,
  machine: StateMachine<Command, Result>,
  log: RecoveredLog,
): Promise<void> {
  if (machine.durable || machine.position().index > 0) return;
  const { found, bad } = await latestSnapshot(options);
  for (const path of bad) options.logger.error("a snapshot file fails its check", { path });
  const index = found?.base.index ?? 0;
  const [newest] = bad;
  if (newest !== undefined && index < log.base.index) throw new RaftSnapshotDamagedError(newest, index, log.base.index);
  if (found !== undefined) await machine.restore(found.base, readSnapshot(options, found.path));
}

async function scanConfigurations(store: LogStore, log: RecoveredLog): Promise<readonly IndexedConfiguration[]> {
  const found: IndexedConfiguration[] = [];
  if (log.configurations !== undefined) {
    for (const index of log.configurations) {
      const [entry] = await store.read(index, (index + 1) as LogIndex, scanBytes);
      if (entry !== undefined) found.push({ index, configuration: decodeConfiguration(entry.payload) });
    }
    return found;
  }
  for (let from = log.base.index + 1; from <= log.lastIndex;) {
    const entries = await store.read(from as LogIndex, (log.lastIndex + 1) as LogIndex, scanBytes);
    for (const entry of entries) {
      if (entry.kind === "configuration")
        found.push({ index: entry.index, configuration: decodeConfiguration(entry.payload) });
    }
    from += Math.max(1, entries.length);
  }
  return found;
}

async function align<Command, Result>(
  store: LogStore,
  log: RecoveredLog,
  scanned: readonly IndexedConfiguration[],
  machine: StateMachine<Command, Result>,
): Promise<RecoveredLog> {
  const position = machine.position();
  if (position.index < log.base.index) throw new RaftMachineBehindError(position.index, log.base.index);
  if (position.index === 0 || store.term(position.index) === position.term) return log;
  const known = scanned.findLast((each) => each.index <= position.index)?.configuration ?? log.base.configuration;
  const configuration: Configuration | undefined = position.configuration ?? known;
  const { index, term } = position;
  const base: LogBase = configuration === undefined ? { index, term } : { index, term, configuration };
  const { vote } = log.hardState;
  const keepsVote = log.hardState.term >= term && vote !== undefined;
  const hardState = {
    term: Math.max(log.hardState.term, term) as Term,
    ...(keepsVote ? { vote } : {}),
    commitIndex: index,
  };
  await store.reset(base, hardState);
  return { ...log, base, hardState, lastIndex: index };
}

/** Others could refill a corrupt log; where there are none, going on would be to forget what was acknowledged. */
function refuseLoneCorruption<Command, Result>(
  options: ResolvedOptions<Command, Result>,
  log: RecoveredLog,
  scanned: readonly IndexedConfiguration[],
): void {
  if (log.integrity === "ok") return;
  const { storeId } = log;
  const configuration = scanned.at(-1)?.configuration ?? log.base.configuration;
  const voters = [...(configuration?.voters ?? []), ...(configuration?.outgoing ?? [])];
  const alone = voters.length > 0 && voters.every((voter) => voter.id === options.id && voter.storeId === storeId);
  if (alone) throw new RaftLogCorruptError();
}
