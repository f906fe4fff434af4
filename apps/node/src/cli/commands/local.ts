import { blake3Attestor, loadIdentity } from "@revoada/attest-blake3";
import { dataPaths, readNodeFile } from "../../data-directory/data-directory.ts";
import { NotInitialisedError } from "../../errors.ts";
import { version } from "../../version.ts";
import { committedDeclaration } from "../../daemon/declare.ts";
import { namedOnly } from "../../daemon/topologies.ts";
import type { CommandSpec } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { outputFlag, renderFacts } from "../output.ts";
import { clientFlags, directoryOf, show } from "./common.ts";

/** `revoada identity`. */
export const identityCommand: CommandSpec = {
  path: ["identity"],
  summary: "show who the node of a data directory is; no daemon is needed",
  arguments: [],
  flags: clientFlags,
  examples: [{ command: "revoada identity -o json", meaning: "node id, cluster id and store id" }],
  run: async (invocation) => {
    const directory = directoryOf(invocation);
    const paths = dataPaths(directory);
    const file = await readNodeFile(paths);
    if (file === undefined) throw new NotInitialisedError(directory);
    const { identity } = await loadIdentity(paths.key);
    const declaration = committedDeclaration(
      file.declaration === undefined
        ? blake3Attestor(identity).openGenesis(file.genesis)
        : { declaration: file.declaration },
      namedOnly,
    ).id();
    const facts = {
      node: identity.id,
      cluster: file.cluster,
      declaration,
      storeId: file.store,
      generation: file.generation,
      dataDir: directory,
      left: file.left === true,
    };
    show(invocation, facts, (paint) =>
      renderFacts(
        [
          ["node", facts.node],
          ["cluster", facts.cluster],
          ["declaration", facts.declaration],
          ["store", facts.storeId],
          ["generation", String(facts.generation)],
          ...(facts.left ? ([["place", { text: "given up", style: "yellow" }]] as const) : []),
        ],
        paint,
      ),
    );
    return exitCodes.ok;
  },
};

/** `revoada version`. */
export const versionCommand: CommandSpec = {
  path: ["version"],
  summary: "show the version of this program",
  arguments: [],
  flags: [outputFlag],
  examples: [{ command: "revoada version -o json", meaning: "with the version of Node" }],
  run: async (invocation) => {
    show(invocation, { version, node: process.version }, () => `revoada ${version}\n`);
    return exitCodes.ok;
  },
};
