import type { Block, BlockInput, FormationCommand, Generation, Hash, LogIndex, Term } from "@revoada/fabric";
import { copyBytes, encodeCanonical, equalBytes } from "./canonical.ts";
import { readCommand } from "./command.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, openRecord } from "./fields.ts";
import { hashOf, idBytes } from "./hash.ts";
import { maxBlockBytes, maxCommandBytes } from "./limits.ts";

/** A block, decoded. */
export interface BlockFields {
  readonly height: number;
  readonly previous: Hash;
  readonly generation: Generation;
  readonly term: Term;
  readonly index: LogIndex;
  readonly ordinal: number;
  readonly commandHash: Hash;
  /** The exact signed bytes of the command; only the first block of a command carries them. */
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
  let last: { readonly bytes: Uint8Array; readonly hash: Hash; readonly command: FormationCommand } | undefined;
  return {
    make(input: BlockInput): Block {
      // By content: a caller may reuse one buffer for another command.
      if (last === undefined || !equalBytes(last.bytes, input.command)) {
        const bytes = copyBytes(input.command);
        last = { bytes, hash: hashOf(bytes), command: readCommand(bytes, input.previous.height + 1) };
      }
      return makeBlock(input, last.command, last.hash);
    },
  };
}

function makeBlock(input: BlockInput, command: FormationCommand, commandHash: Hash): Block {
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
  const bytes = encodeCanonical([
    domainOf("block"),
    height,
    idBytes(input.previous.hash, 32),
    input.generation,
    input.term,
    input.index,
    input.ordinal,
    idBytes(commandHash, 32),
    step === 1 ? input.command : null,
  ]);
  return { height, hash: hashOf(bytes), bytes };
}

/** Decodes a block's own fields; the command within is judged apart. Throws `CHAIN_INVALID`. */
export function readBlock(bytes: Uint8Array, height: number): BlockFields {
  return decodingAt(height, "malformed", () => {
    const fields = openRecord(bytes, "block", { maxBytes: maxBlockBytes });
    const block = {
      height: fields.counter("height", 1),
      previous: fields.id<Hash>("previous", 32),
      generation: fields.counter("generation", 1) as Generation,
      term: fields.counter("term", 1) as Term,
      index: fields.counter("index", 1) as LogIndex,
      ordinal: fields.counter("ordinal"),
      commandHash: fields.id<Hash>("commandHash", 32),
    };
    const command = fields.optionalBytes("command", { least: 1, most: maxCommandBytes });
    fields.finish();
    return command === undefined ? block : { ...block, command };
  });
}
