import { clusterBugs, type ClusterBug } from "./bugs.ts";
import { plantPatches } from "../plant-patches.ts";

const sources = new URL("../../../", import.meta.url).href;

/** Alters the sources of whole nodes as they are loaded from now on, in this process and in memory only. */
export function plantClusterBug(number: number): ClusterBug {
  const bug = clusterBugs.find((each) => each.number === number);
  if (bug === undefined) throw new Error(`no bug ${number}`);
  plantPatches(sources, bug.patches);
  return bug;
}
