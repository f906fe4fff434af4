import { registerHooks } from "node:module";
import { mutations, plant, type Mutation } from "./mutations.ts";

const sources = new URL("../../../consensus-raft/src/", import.meta.url).href;

/** Alters the sources of the replicated log as they are loaded from now on, in this process and in memory only. */
export function plantMutation(number: number): Mutation {
  const mutation = mutations.find((each) => each.number === number);
  if (mutation === undefined) throw new Error(`no mutation ${number}`);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const patches = mutation.patches.filter(({ file }) => url === sources + file);
      if (patches.length === 0 || loaded.source === undefined) return loaded;
      const { source } = loaded;
      const text = typeof source === "string" ? source : new TextDecoder().decode(source);
      return { ...loaded, source: patches.reduce(plant, text) };
    },
  });
  return mutation;
}
