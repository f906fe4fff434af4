import { registerHooks } from "node:module";
import { plant, type Patch } from "./consensus/mutations.ts";

/** Alters sources as they are loaded from now on, in this process and in memory only. `sources` is the address that the files are below. */
export function plantPatches(sources: string, patches: readonly Patch[]): void {
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const here = patches.filter(({ file }) => url === sources + file);
      if (here.length === 0 || loaded.source === undefined) return loaded;
      const { source } = loaded;
      const text = typeof source === "string" ? source : new TextDecoder().decode(source);
      return { ...loaded, source: here.reduce(plant, text) };
    },
  });
}
