import { resolve } from "node:path";
import type { Attestor } from "@revoada/fabric";
import { operatorAttestor } from "../../operator/keys.ts";
import type { FlagSpec, Invocation } from "../command.ts";

/** Of orders that wait for an operator otherwise. */
export const keyFlag: FlagSpec = {
  name: "key",
  value: "FILE",
  summary: "an operator's key in force, to sign for it at once; without, it waits for chain cosign",
  completes: "file",
};

/** Who signs at once; undefined where nobody does. Rejects with `OPERATOR_FILE_INVALID` and as files do. */
export async function signerOf(invocation: Invocation): Promise<Attestor | undefined> {
  const file = invocation.value(keyFlag.name);
  return file === undefined ? undefined : operatorAttestor(resolve(invocation.io.workingDirectory, file));
}
