import type { AnnexRecord } from "@revoada/fabric";
import { RaftBadSnapshotError } from "../errors.ts";
import { counterBytes, viewOf, writeCounter } from "./core/bytes.ts";
import { defaultSessionLimits } from "./core/limits.ts";
import {
  decodeSessionLimits,
  decodeSessionRecord,
  encodeSessionLimits,
  encodeSessionRecord,
  pictureOf,
} from "./core/table-codec.ts";
import type { SessionRecord, SessionTable } from "./core/table.ts";

/** One record holds the limits, each other one a session. */
const limitsKey = Uint8Array.of(0);

function keyOf(session: number): Uint8Array {
  const key = new Uint8Array(1 + counterBytes);
  key[0] = 1;
  writeCounter(viewOf(key), 1, session);
  return key;
}

/** What the last step has changed, as records. */
export function annexOf(table: SessionTable): readonly AnnexRecord[] {
  const { limits, changed, removed } = table.takeChanges();
  return [
    ...(limits === undefined ? [] : [{ key: limitsKey, value: encodeSessionLimits(limits) }]),
    ...changed.map((session) => ({ key: keyOf(session.id), value: encodeSessionRecord(session) })),
    ...removed.map((id) => ({ key: keyOf(id), value: undefined })),
  ];
}

/** Fills the table with what a machine has kept. Throws `RAFT_BAD_SNAPSHOT` where that is not what it was given. */
export function loadAnnex(table: SessionTable, records: Iterable<AnnexRecord & { readonly value: Uint8Array }>): void {
  const sessions: SessionRecord[] = [];
  let limits = defaultSessionLimits;
  for (const { key, value } of records) {
    if (key.length === 1 && key[0] === 0) {
      limits = decodeSessionLimits(value);
      continue;
    }
    const session = decodeSessionRecord(value);
    if (Buffer.compare(key, keyOf(session.id)) !== 0)
      throw new RaftBadSnapshotError(`session ${session.id} stands under another's key`);
    sessions.push(session);
  }
  table.load(
    pictureOf(
      limits,
      sessions.toSorted((left, right) => left.lastIndex - right.lastIndex),
    ),
  );
}
