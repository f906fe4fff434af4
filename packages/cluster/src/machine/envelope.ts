import { NewerCommandError } from "../errors.ts";

/** Which part of the one machine a command is for. The numbers are the wire format and never change their meaning. */
export const commandKinds = {
  genesis: 1,
  formation: 2,
  seal: 3,
  token: 4,
  catalog: 5,
  decided: 6,
  cosignature: 7,
  /** A catalog command that has to do with leases: a replica of before them stops here instead of refusing what others take. */
  leases: 8,
  /** An operator's order that waits for an approval, or is dropped. */
  order: 9,
  /** A prefix of the chain is archived and goes. A replica of before archives stops here. */
  drop: 10,
} as const;
export type CommandKind = keyof typeof commandKinds;

const envelopeVersion = 1;
const names = new Map(Object.entries(commandKinds).map(([name, kind]) => [kind as number, name as CommandKind]));

/** A command as it stands in the log: version, kind, body. */
export function sealEnvelope(kind: CommandKind, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(body.length + 2);
  bytes[0] = envelopeVersion;
  bytes[1] = commandKinds[kind];
  bytes.set(body, 2);
  return bytes;
}

/** Opens a command of the log. Throws `RAFT_NEWER_COMMAND` for a version or kind that this build does not know. */
export function openEnvelope(bytes: Uint8Array): { readonly kind: CommandKind; readonly body: Uint8Array } {
  const [version, kind] = bytes;
  if (version !== envelopeVersion) throw new NewerCommandError(`a command of version ${version ?? "none"}`);
  const name = names.get(kind ?? 0);
  if (name === undefined) throw new NewerCommandError(`a command of kind ${kind ?? "none"}`);
  return { kind: name, body: bytes.subarray(2) };
}

/**
 * How commands and results of the machine become the bytes of a log: they are bytes already.
 *
 * `decodeCommand` throws `RAFT_NEWER_COMMAND`, as {@link openEnvelope} does. A log that asks it before it takes what another node hands
 * it never holds what would stop every replica.
 */
export const commandCodec: {
  encodeCommand(command: Uint8Array): Uint8Array;
  decodeCommand(bytes: Uint8Array): Uint8Array;
  encodeResult(result: Uint8Array): Uint8Array;
  decodeResult(bytes: Uint8Array): Uint8Array;
} = {
  encodeCommand: (command) => command,
  decodeCommand(bytes) {
    openEnvelope(bytes);
    return bytes;
  },
  encodeResult: (result) => result,
  decodeResult: (bytes) => bytes,
};
