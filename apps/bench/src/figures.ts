import type { LossFigures } from "./losses.ts";
import type { FailoverFigures } from "./raft/failover.ts";
import type { CatchUp, Growth } from "./raft/growth.ts";
import type { Comparison } from "./turns.ts";

/** Under what conditions figures came about. */
export interface Conditions {
  readonly date: string;
  readonly node: string;
  readonly etcd?: string;
  readonly system: string;
  readonly cores: number;
  readonly model: string;
  readonly memoryGiB: number;
  /** The file system of the system's temporary directory, where all logs are. */
  readonly fileSystem: string;
  readonly quick: boolean;
  readonly tookSeconds?: number;
}

/** All that one run has measured. What was not asked for is not there. */
export interface Figures {
  readonly conditions: Conditions;
  readonly commits?: readonly Comparison[];
  readonly reads?: readonly Comparison[];
  readonly failover?: FailoverFigures;
  readonly growth?: readonly Growth[];
  readonly catchUp?: CatchUp;
  readonly losses?: readonly LossFigures[];
}
