import { formationBugs, type FormationBug } from "./bugs.ts";
import { plantPatches } from "../plant-patches.ts";

const sources = new URL("../../../", import.meta.url).href;

/** Alters the sources of the reactor as they are loaded from now on, in this process and in memory only. */
export function plantFormationBug(number: number): FormationBug {
  const bug = formationBugs.find((each) => each.number === number);
  if (bug === undefined) throw new Error(`no bug ${number}`);
  plantPatches(sources, bug.patches);
  return bug;
}
