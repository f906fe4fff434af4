import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { formatResourceRef, type ResourceRef } from "@revoada/fabric";
import { DemonstrationError } from "./failure.ts";
import type { Daemon } from "./process.ts";

const manifestDirectory = new URL("./manifests/", import.meta.url).pathname;

/** Applies every manifest of the directory through one daemon; resolves with what was applied. */
export async function applyManifests(daemon: Daemon): Promise<readonly ResourceRef[]> {
  const refs: ResourceRef[] = [];
  for (const file of (await readdir(manifestDirectory)).toSorted()) {
    const body = await readFile(join(manifestDirectory, file));
    const applied = await daemon.ask((client) => client.face.apply({ format: "yaml", body, source: file }));
    refs.push(...applied.map(({ ref }) => ref));
  }
  return refs;
}

/** Reads every resource from every daemon and compares them byte for byte. */
export async function readBack(daemons: readonly Daemon[], refs: readonly ResourceRef[]): Promise<void> {
  for (const ref of refs) {
    const bodies = await Promise.all(
      daemons.map(async (daemon) => {
        const stored = await daemon.ask((client) => client.face.get(ref, { format: "yaml" }));
        return Buffer.from(stored.body).toString("utf8");
      }),
    );
    if (new Set(bodies).size !== 1 || bodies[0] === "")
      throw new DemonstrationError(`${formatResourceRef(ref)} is not the same on every node`);
  }
}
