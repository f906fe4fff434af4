import type { Consensus, Duty, Face } from "@revoada/fabric";
import { CommandRefusedError } from "../errors.ts";

/** Nothing is left to be done at the end: what the duty stood for was another's work, and ends with that. */
const nothing: AsyncDisposable = { async [Symbol.asyncDispose]() {} };

/** How long a master that takes its place waits to be level with the others before it tries again. */
const levelTimeoutMs = 30_000;

/** `api`: this master's face answers. Nodes without a replica, and whoever follows gossip, ask those first that say so. */
export function apiDuty(face: () => Face): Duty {
  return {
    name: "api",
    kind: "everywhere-on-masters",
    async start() {
      const { manifest } = face();
      if (!face().isRunning())
        throw new CommandRefusedError("FACE_NOT_RUNNING", `the face ${manifest.face.name} does not run`, {
          retryable: true,
        });
      return nothing;
    },
  };
}

/** `store`: this master keeps the replicated state, and holds all that was committed when it said so first. */
export function storeDuty(consensus: Consensus<Uint8Array, Uint8Array>): Duty {
  return {
    name: "store",
    kind: "everywhere-on-masters",
    async start({ signal }) {
      await consensus.readBarrier({ signal, timeoutMs: levelTimeoutMs });
      return nothing;
    },
  };
}
