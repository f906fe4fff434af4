import { resolve } from "node:path";
import { exportForm, exportFromJson, exportToJson } from "@revoada/attest-blake3";
import { CliFileError, CliUsageError } from "../../errors.ts";
import { writeDurably } from "../../files.ts";
import { dataDirectoryFlag } from "../../config/settings.ts";
import type { CommandSpec, FlagSpec, Invocation } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { readEvidence } from "./chain-verify.ts";
import { numberFlag, withNode } from "./common.ts";

const formats = ["cbor", "json"] as const;
type ExportFormat = (typeof formats)[number];

const formatFlag: FlagSpec = {
  name: "format",
  value: "FORMAT",
  summary: "cbor, which is smaller, or json, which people can read; each is made of the other without loss",
  choices: formats,
};
const fileFlag: FlagSpec = {
  name: "output",
  short: "o",
  value: "FILE",
  summary: "where to write it",
  completes: "file",
};

function encoded(bytes: Uint8Array, format: ExportFormat): Uint8Array {
  return format === "json" ? new TextEncoder().encode(exportToJson(bytes)) : bytes;
}

async function write({ io }: Invocation, file: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeDurably(resolve(io.workingDirectory, file), [bytes], { mode: 0o644 });
  } catch (error) {
    throw new CliFileError("write", file, error);
  }
  io.stdout.write(`${bytes.length} bytes written to ${file}\n`);
}

/** Where to write to: `-o FILE`, or the place that `place` is the number of among the arguments. */
function outputFile(invocation: Invocation, place: number): string {
  const given = [invocation.value("output"), invocation.arguments[place]].filter((file) => file !== undefined);
  const [file] = given;
  if (file === undefined) throw new CliUsageError("CLI_MISSING_FLAG", "-o FILE says where to write the export");
  if (given.length > 1)
    throw new CliUsageError(
      "CLI_INVALID_VALUE",
      `--output: the export is written to one file, got ${given.join(" and ")}`,
    );
  return file;
}

async function exportChain(invocation: Invocation): Promise<number> {
  const file = outputFile(invocation, 0);
  const format = (invocation.value("format") ?? "cbor") as ExportFormat;
  const heights = { least: 1, most: Number.MAX_SAFE_INTEGER };
  const [from, to] = [numberFlag(invocation, "from", heights), numberFlag(invocation, "to", heights)];
  const part = { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  return withNode(invocation, async (node) => {
    const bytes = await node.chainExport({ signed: true, ...part });
    await write(invocation, file, encoded(bytes, format));
    const { cluster } = await node.identity();
    const rest = (from ?? 1) > 1 ? "--from CHECKPOINT, or --trust KEY" : `--cluster ${cluster}`;
    invocation.io.stdout.write(`verify with: revoada chain verify ${file} ${rest}\n`);
    return exitCodes.ok;
  });
}

/** `revoada chain export`. */
export const chainExportCommand: CommandSpec = {
  path: ["chain", "export"],
  summary: "write the chain to a file that verifies offline, signed by the node that hands it over",
  arguments: [{ name: "FILE", required: false, completes: "file" }],
  details: [
    "The blocks prove themselves. The signature says which node handed the file over and when, by that node's clock, and that nothing was changed or cut",
    "off since; it does not say that nothing was left out before: of that, seals and a later export tell.",
    "",
    "With --from the file begins with a checkpoint at or below that height and verifies with --from or --trust. With --to it ends with the command of that",
    "height.",
  ],
  flags: [
    formatFlag,
    { name: "from", value: "HEIGHT", summary: "hold this block and those after it; all blocks where absent" },
    { name: "to", value: "HEIGHT", summary: "hold blocks up to this one; up to the head where absent" },
    fileFlag,
    dataDirectoryFlag,
  ],
  examples: [
    { command: "revoada chain export -o may.chain", meaning: "then: revoada chain verify may.chain --cluster ID" },
    { command: "revoada chain export --format json --from 900 -o late.json", meaning: "what came lately, to be read" },
  ],
  run: exportChain,
};

/** `revoada chain convert`. */
export const chainConvertCommand: CommandSpec = {
  path: ["chain", "convert"],
  summary: "turn a signed export into its other form, offline and without loss",
  arguments: [{ name: "FILE", required: true, completes: "file" }],
  details: ["The signature holds for both forms. What is converted is not verified: revoada chain verify does that."],
  flags: [formatFlag, fileFlag],
  examples: [
    {
      command: "revoada chain convert may.chain --format json -o may.json",
      meaning: "to be read, or searched by line",
    },
    { command: "revoada chain convert may.json --format cbor -o may.chain", meaning: "the very bytes it was made of" },
  ],
  run: async (invocation) => {
    const [file = ""] = invocation.arguments;
    const target = outputFile(invocation, 1);
    const format = invocation.value("format");
    if (format === undefined) throw new CliUsageError("CLI_MISSING_FLAG", "chain convert needs --format cbor or json");
    const bytes = await readEvidence(invocation, file);
    const form = exportForm(bytes);
    if (form === undefined)
      throw new CliUsageError("CLI_INVALID_VALUE", `${file} is not a signed export, see revoada chain export`);
    const cbor = form === "json" ? exportFromJson(bytes) : bytes;
    // Both ways: what has no other form is refused, not copied.
    const json = exportToJson(cbor);
    await write(invocation, target, format === "json" ? new TextEncoder().encode(json) : cbor);
    return exitCodes.ok;
  },
};
