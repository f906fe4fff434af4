import { cp, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { blake3Attestor, type StoredIdentity } from "@revoada/attest-blake3";
import { catalogMachine } from "@revoada/catalog";
import { lmdbStore } from "@revoada/catalog/lmdb";
import type { OfflineOptions } from "@revoada/cluster";
import { decodeConfiguration, encodeConfiguration, walLogStore } from "@revoada/consensus-raft";
import { shortId, type LogStore } from "@revoada/fabric";
import { nodeDisk, systemClock, systemRandom } from "@revoada/fabric/node";
import { DataDirectory, dataPaths, readNodeFile } from "../data-directory/data-directory.ts";
import type { NodeFile } from "../data-directory/node-file.ts";
import { NodeLeftError, NotInitialisedError, OtherStoreError } from "../errors.ts";
import { groupIdOf, openIdentity } from "../daemon/prepare.ts";
import { ReleaseStack } from "../daemon/release-stack.ts";

/** Who holds a store, as opposed to what is in it. */
const isLock = /^lock(\.|$)|-lock$/;

/** A node whose daemon does not run: its directory is held, its log is open, its state can be tried things on. */
export interface StoppedNode extends AsyncDisposable {
  readonly data: DataDirectory;
  readonly file: NodeFile;
  readonly identity: StoredIdentity;
  readonly log: LogStore;
  /** Log and a copy of the state, for those who work out what to add. */
  readonly offline: OfflineOptions;
}

/**
 * Takes the directory of a stopped node, as a daemon would. Rejects with `DISK_LOCKED` where one runs, `NODE_NOT_INITIALISED`,
 * `NODE_LEFT`, `NODE_WRONG_KEY`, `NODE_OTHER_STORE`, and what opening the log or the state rejects with.
 */
export async function openStoppedNode(directory: string): Promise<StoppedNode> {
  // Looked at before it is taken: taking a directory would make one where there is none.
  if ((await readNodeFile(dataPaths(directory))) === undefined) throw new NotInitialisedError(directory);
  const taken = new ReleaseStack();
  try {
    return await takeNode(directory, taken);
  } catch (error) {
    await taken.release();
    throw error;
  }
}

async function takeNode(directory: string, taken: ReleaseStack): Promise<StoppedNode> {
  const data = taken.use(await DataDirectory.open(directory));
  const file = await data.readNode();
  if (file === undefined) throw new NotInitialisedError(directory);
  if (file.left === true) throw new NodeLeftError(directory, shortId(file.cluster));
  const identity = await openIdentity(data, file);
  const attestor = blake3Attestor(identity.identity);
  const [clock, random, disk] = [systemClock(), systemRandom(), nodeDisk(directory)];
  const log = taken.use(walLogStore({ disk, clock, random, groupId: groupIdOf(file.cluster) }));
  const recovered = await log.open();
  if (recovered.storeId !== file.store)
    throw new OtherStoreError(join(directory, data.paths.walName), `store ${recovered.storeId}`, file.store);
  const copy = `${data.paths.store}.${Math.floor(clock.wallMs())}.tmp`;
  taken.defer(() => rm(copy, { recursive: true, force: true }));
  // A daemon that was killed leaves its locks, of which one is a socket that cannot be copied.
  const isData = (path: string): boolean => !isLock.test(basename(path));
  await cp(data.paths.store, copy, { recursive: true, filter: isData });
  const scratch = await lmdbStore({ directory: copy });
  taken.defer(() => scratch.close());
  return {
    data,
    file,
    identity,
    log,
    offline: {
      attestor,
      clusterId: file.cluster,
      log,
      recovered,
      scratch,
      catalog: catalogMachine(),
      encodeConfiguration,
      decodeConfiguration,
      nowMs: clock.wallMs(),
    },
    [Symbol.asyncDispose]: () => taken.release(),
  };
}
