import type { Need } from "./host.ts";
import type { Expectation, Setting, Stage } from "./stage.ts";

/** One thing that goes wrong, and what must hold afterwards. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** With how many nodes it is played. */
  readonly sizes: readonly number[];
  readonly needs: readonly Need[];
  readonly setting?: Omit<Setting, "nodes">;
  /** Makes it happen, and heals it. What is expected is judged once everybody is back. */
  readonly play: (stage: Stage) => Promise<Expectation>;
}
