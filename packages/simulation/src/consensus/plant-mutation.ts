import { mutations, type Mutation } from "./mutations.ts";
import { plantPatches } from "../plant-patches.ts";

const sources = new URL("../../../consensus-raft/src/", import.meta.url).href;

/** Alters the sources of the replicated log as they are loaded from now on, in this process and in memory only. */
export function plantMutation(number: number): Mutation {
  const mutation = mutations.find((each) => each.number === number);
  if (mutation === undefined) throw new Error(`no mutation ${number}`);
  plantPatches(sources, mutation.patches);
  return mutation;
}
