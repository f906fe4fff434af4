import { readFileSync } from "node:fs";

interface Manifest {
  readonly version: string;
}

// Read, not imported: the manifest stands outside of what is compiled.
const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as Manifest;

/** The version of this program. */
export const version: string = manifest.version;
