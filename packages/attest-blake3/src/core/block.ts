import type { Block, BlockInput, FormationCommand, Generation, Hash, LogIndex, Term } from "@revoada/fabric";
import { copyBytes, decodeViews, encodeCanonical, equalBytes } from "./canonical.ts";
import { stateCommitter } from "./chain-state.ts";
import type { StateCommitter } from "./chain-state.ts";
import { readCommand } from "./command.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, FieldList, openRecord } from "./fields.ts";
import { hashOf, idBytes } from "./hash.ts";
import { appendLeaf, historyRoot } from "./history.ts";
import { maxBlockBytes, maxCommandBytes, maxHeaderBytes } from "./limits.ts";

/** What the last block of a command commits to: all blocks before it, and the state after it. */
export interface Commitment {
  /** Root of the Merkle tree over genesis and all blocks below this one. */
  readonly history: Hash;
  /** Hash of the state record. */
  readonly state: Hash;
}

/** A block's own fields. Its hash is that of the bytes of these: a header proves itself without the command. */
export interface HeaderFields {
  readonly height: number;
  readonly previous: Hash;
  readonly generation: Generation;
  readonly term: Term;
  readonly index: LogIndex;
  readonly ordinal: number;
  readonly commandHash: Hash;
  /** Present in the last block of a command, and in no other. */
  readonly commitment?: Commitment;
}

/** A block, decoded. */
export interface BlockFields extends HeaderFields {
  readonly hash: Hash;
  /** The exact bytes that were hashed, as a view. */
  readonly header: Uint8Array;
  /** The exact signed bytes of the command, as a view; only the first block of a command carries them. */
  readonly command?: Uint8Array;
}

/** Makes blocks. Remembers the last command, because the blocks of one command are made one after another. */
export interface BlockMaker {
  make(input: BlockInput): Block;
}

/**
 * A maker of blocks.
 *
 * The first block of a command carries the command's bytes and the later ones its hash: 256 transitions of one command would
 * otherwise hold it 256 times. Which block is the first follows from the input alone, so that every replica makes the same bytes:
 * a command is refused whole unless it finds the formation at its base generation, hence its first effective transition, and no
 * other, makes the generation after that.
 */
export function blockMaker(): BlockMaker {
  const states = stateCommitter();
  let last: { readonly bytes: Uint8Array; readonly hash: Hash; readonly command: FormationCommand } | undefined;
  return {
    make(input: BlockInput): Block {
      // By content: a caller may reuse one buffer for another command.
      if (last === undefined || !equalBytes(last.bytes, input.command)) {
        const bytes = copyBytes(input.command);
        last = { bytes, hash: hashOf(bytes), command: readCommand(bytes, input.previous.height + 1) };
      }
      return makeBlock(input, last.command, last.hash, states);
    },
  };
}

function makeBlock(input: BlockInput, command: FormationCommand, commandHash: Hash, states: StateCommitter): Block {
  const height = input.previous.height + 1;
  const step = input.generation - command.baseGeneration;
  if (!Number.isSafeInteger(input.ordinal) || input.ordinal < 0 || input.ordinal >= command.transitions.length) {
    refuse(
      "out-of-order",
      height,
      `ordinal ${input.ordinal} of a command of ${command.transitions.length} transitions`,
    );
  }
  if (step < 1 || step > input.ordinal + 1) {
    refuse(
      "generation-gap",
      height,
      `ordinal ${input.ordinal} upon ${command.baseGeneration} cannot make ${input.generation}`,
    );
  }
  const { previous } = input;
  const history = appendLeaf(previous.history, previous.height, previous.hash);
  const header = encodeHeader({
    height,
    previous: previous.hash,
    generation: input.generation,
    term: input.term,
    index: input.index,
    ordinal: input.ordinal,
    commandHash,
    ...(input.after === undefined
      ? {}
      : { commitment: { history: historyRoot(history), state: states.commit(input.after).root } }),
  });
  return { height, hash: hashOf(header), history, bytes: encodeBlock(header, step === 1 ? input.command : undefined) };
}

/** A block's header and, in the first of its command, the command. */
function encodeBlock(header: Uint8Array, command: Uint8Array | undefined): Uint8Array {
  return encodeCanonical([header, command ?? null]);
}

function encodeHeader(fields: HeaderFields): Uint8Array {
  const { commitment } = fields;
  return encodeCanonical([
    domainOf("block"),
    fields.height,
    idBytes(fields.previous, 32),
    fields.generation,
    fields.term,
    fields.index,
    fields.ordinal,
    idBytes(fields.commandHash, 32),
    ...(commitment === undefined ? [] : [idBytes(commitment.history, 32), idBytes(commitment.state, 32)]),
  ]);
}

/** Decodes a block's own fields; the command within is judged apart. Throws `CHAIN_INVALID`. */
export function readBlock(bytes: Uint8Array, height: number): BlockFields {
  return decodingAt(height, "malformed", () => {
    const { header, command } = splitBlock(bytes);
    const fields = { ...readFields(header), hash: hashOf(header), header };
    return command === undefined ? fields : { ...fields, command };
  });
}

/** The hash of a block: that of its header. Throws `CHAIN_INVALID`. */
export function blockHash(bytes: Uint8Array, height = 0): Hash {
  return decodingAt(height, "malformed", () => hashOf(splitBlock(bytes).header));
}

/** A block's parts, as views. Throws `ATTEST_NOT_CANONICAL`. */
export function splitBlock(bytes: Uint8Array): {
  readonly header: Uint8Array;
  readonly command: Uint8Array | undefined;
} {
  const parts = new FieldList(decodeViews(bytes, { maxBytes: maxBlockBytes }), "block");
  const header = parts.view("header", { least: 1, most: maxHeaderBytes });
  const command = parts.optionalView("command", { least: 1, most: maxCommandBytes });
  parts.finish();
  return { header, command };
}

/** Decodes a header that stands alone. Throws `CHAIN_INVALID`. */
export function readHeader(header: Uint8Array, height: number): HeaderFields & { readonly hash: Hash } {
  return decodingAt(height, "malformed", () => ({ ...readFields(header), hash: hashOf(header) }));
}

function readFields(header: Uint8Array): HeaderFields {
  const fields = openRecord(header, "block", { maxBytes: maxHeaderBytes });
  const block = {
    height: fields.counter("height", 1),
    previous: fields.id<Hash>("previous", 32),
    generation: fields.counter("generation", 1) as Generation,
    term: fields.counter("term", 1) as Term,
    index: fields.counter("index", 1) as LogIndex,
    ordinal: fields.counter("ordinal"),
    commandHash: fields.id<Hash>("commandHash", 32),
  };
  const commitment = fields.hasMore()
    ? { history: fields.id<Hash>("history", 32), state: fields.id<Hash>("state", 32) }
    : undefined;
  fields.finish();
  return commitment === undefined ? block : { ...block, commitment };
}
