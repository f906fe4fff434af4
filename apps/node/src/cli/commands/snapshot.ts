import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { CliFileError } from "../../errors.ts";
import { writeDurably } from "../../files.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { clientFlags, show, withNode } from "./common.ts";

const fileArgument = { name: "FILE", required: true, completes: "file" } as const;

/** `revoada snapshot save`. */
export const snapshotSaveCommand: CommandSpec = {
  path: ["snapshot", "save"],
  summary: "save all resources to a file",
  details: ["The file appears whole or not at all, readable by its owner alone."],
  arguments: [fileArgument],
  flags: clientFlags,
  examples: [{ command: "revoada snapshot save backup.rvds", meaning: "all resources at one revision" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const {
        io,
        arguments: [file = ""],
      } = invocation;
      let bytes = 0;
      const count = async function* (): AsyncIterable<Uint8Array> {
        for await (const chunk of node.face.snapshot({ signal: io.signal })) {
          bytes += chunk.length;
          yield chunk;
        }
      };
      await writeDurably(resolve(io.workingDirectory, file), count(), { mode: 0o600 }).catch((error: unknown) => {
        throw isSystemError(error) ? new CliFileError("write", file, error) : error;
      });
      show(invocation, { file, bytes }, () => `${bytes} bytes saved to ${file}\n`);
      return exitCodes.ok;
    }),
};

/** `revoada snapshot restore`. */
export const snapshotRestoreCommand: CommandSpec = {
  path: ["snapshot", "restore"],
  summary: "replace all resources by those of a file",
  details: ["Nothing changes where a byte of the file is wrong. Watchers see a reset."],
  arguments: [fileArgument],
  flags: clientFlags,
  examples: [{ command: "revoada snapshot restore backup.rvds", meaning: "as one new revision" }],
  run: (invocation) =>
    withNode(invocation, async (node) => {
      const {
        io,
        arguments: [file = ""],
      } = invocation;
      const chunks = createReadStream(resolve(io.workingDirectory, file)) as AsyncIterable<Uint8Array>;
      const revision = await node.face.restore(named(chunks, file), { signal: io.signal });
      show(invocation, { file, revision }, () => `restored as revision ${revision}\n`);
      return exitCodes.ok;
    }),
};

async function* named(chunks: AsyncIterable<Uint8Array>, file: string): AsyncIterable<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw new CliFileError("read", file, error);
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}
