import type { Patch } from "../consensus/mutations.ts";

/** A bug that is planted into a layer at its own line, to see that whole nodes find it. */
export interface ClusterBug {
  readonly number: number;
  readonly title: string;
  /** The promises that it breaks: a run that fails for anything else has not found it. */
  readonly breaks: readonly string[];
  /** Files are below `packages`. */
  readonly patches: readonly Patch[];
}

/** The bugs that the cluster world must find, beyond those of the log and of the reactor. */
export const clusterBugs: readonly ClusterBug[] = [
  {
    number: 1,
    title: "a write is taken whatever its fence says",
    breaks: ["no-stale-write", "tokens-rise"],
    patches: [
      {
        file: "catalog/src/core/lease-records.ts",
        text: "if (held?.token.term === token.term && held.token.index === token.index) return undefined;",
        replacement: "return undefined;",
      },
    ],
  },
];
