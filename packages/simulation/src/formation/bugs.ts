import type { Patch } from "../consensus/mutations.ts";

/** A bug that is planted at its own line, to see that the world finds it. */
export interface FormationBug {
  readonly number: number;
  readonly title: string;
  /** The promises that it breaks: a run that fails for anything else has not found it. */
  readonly breaks: readonly string[];
  /** Files are below `packages`. */
  readonly patches: readonly Patch[];
}

function bug(
  title: string,
  breaks: readonly string[],
  file: string,
  text: string,
  replacement: string,
): Omit<FormationBug, "number"> {
  return { title, breaks, patches: [{ file, text, replacement }] };
}

/** The bugs that the formation world must find. */
export const formationBugs: readonly FormationBug[] = [
  bug(
    "a vote is given to whoever has just come",
    ["stable-first"],
    "topology/src/reactor/situation.ts",
    "member.statusSinceMs < limits.stabilizationMs",
    "member.statusSinceMs < 0",
  ),
  bug(
    "a vote is given before the newcomer has caught up",
    ["caught-up-first"],
    "topology/src/reactor/situation.ts",
    "return match !== undefined && match + limits.trailingEntries >= replication.commitIndex;",
    "return match !== undefined;",
  ),
  bug(
    "voluntary shifts are not damped",
    ["damped"],
    "topology/src/reactor/draft.ts",
    "if (voluntary === true && decision.transitions.some(({ node }) => !this.#isRested(node))) return false;",
    "",
  ),
  bug(
    "replicas move while the log has not followed",
    ["one-change-at-a-time"],
    "topology/src/reactor/draft.ts",
    "return this.#follows && !this.#movedReplicas;",
    "return !this.#movedReplicas || this.#follows;",
  ),
  bug(
    "a clean-up forgets below the minimum",
    ["minimum-quorum"],
    "topology/src/policies/autopilot.ts",
    "if (mayVote(record) && spare <= 0) continue;",
    "",
  ),
  bug(
    "whoever was given up is chosen again at once",
    ["not-again-for-a-while"],
    "topology/src/reactor/situation.ts",
    "return sinceMs !== undefined && nowMs - sinceMs < limits.retryMs;",
    "return sinceMs !== undefined && sinceMs < 0;",
  ),
  bug(
    "a node that steps back is waited for for ever",
    ["whole-again", "never-stuck"],
    "topology/src/policies/replacement.ts",
    'return record.state === "demoting" && sinceMs >= limits.demotingMs;',
    'return record.state === "demoting" && sinceMs < 0;',
  ),
  bug(
    "a quorum is made smaller than the minimum",
    ["minimum-quorum"],
    "topology/src/policies/replacement.ts",
    "const least = Math.max(limits.minQuorum, leastVoters);",
    "const least = 1 + 0 * leastVoters;",
  ),
  bug(
    "zones are left as a loss left them",
    ["zones-spread"],
    "topology/src/reactor/moves.ts",
    "return migrate(context, plan) ?? relocate(context, plan);",
    "return migrate(context, plan);",
  ),
  bug(
    "an upgrade ends where it began",
    ["migrated"],
    "topology/src/reactor/moves.ts",
    "return migrate(context, plan) ?? relocate(context, plan);",
    "return relocate(context, plan);",
  ),
  bug(
    "the dead are not taken back",
    ["whole-again", "never-stuck"],
    "topology/src/reactor/losses.ts",
    "if (!newer || storeId === undefined) continue;",
    "if (!newer || storeId !== undefined) continue;",
  ),
  bug(
    "a switch is confirmed before its shape stands",
    ["confirmed-stands"],
    "cluster/src/loop/switch-watch.ts",
    "if (missing === undefined)",
    "if (missing === undefined || tookMs >= 0)",
  ),
  bug(
    "a shape that does not stand is waited for for ever",
    ["never-stuck"],
    "cluster/src/loop/switch-watch.ts",
    "if (tookMs < withinMs) return undefined;",
    "if (tookMs < withinMs || missing !== undefined) return undefined;",
  ),
  bug(
    "a switch that is taken back stays in force",
    ["taken-back-means-back"],
    "fabric/src/declared.ts",
    'return { declaration: transition.verb === "confirm" ? declared.declaration : declared.pending.previous };',
    "return { declaration: declared.declaration };",
  ),
].map((each, at) => ({ number: at + 1, ...each }));
