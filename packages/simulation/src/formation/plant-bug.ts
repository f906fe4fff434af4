import { registerHooks } from "node:module";
import { plant } from "../consensus/mutations.ts";
import { formationBugs, type FormationBug } from "./bugs.ts";

const sources = new URL("../../../topology/src/", import.meta.url).href;

/** Alters the sources of the reactor as they are loaded from now on, in this process and in memory only. */
export function plantFormationBug(number: number): FormationBug {
  const bug = formationBugs.find((each) => each.number === number);
  if (bug === undefined) throw new Error(`no bug ${number}`);
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const patches = bug.patches.filter(({ file }) => url === sources + file);
      if (patches.length === 0 || loaded.source === undefined) return loaded;
      const { source } = loaded;
      const text = typeof source === "string" ? source : new TextDecoder().decode(source);
      return { ...loaded, source: patches.reduce(plant, text) };
    },
  });
  return bug;
}
