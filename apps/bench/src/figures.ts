import type { ChainFigures } from "./chain/chain.ts";
import type { DetectionFigures } from "./gossip/detection.ts";
import type { SimulatedSize } from "./gossip/spread.ts";
import type { FleetFigures } from "./groups/groups.ts";
import type { LossFigures } from "./losses.ts";
import type { MasterFigures } from "./masters.ts";
import type { FailoverFigures } from "./raft/failover.ts";
import type { CatchUp, Growth } from "./raft/growth.ts";
import type { SnapshotFigures } from "./snapshot/snapshot.ts";
import type { BulkFigures } from "./transport/bulk.ts";
import type { DisturbedFigures, HostileFigures } from "./transport/disturbed.ts";
import type { Comparison } from "./turns.ts";

/** Under what conditions figures came about. */
export interface Conditions {
  readonly date: string;
  readonly node: string;
  readonly etcd?: string;
  readonly serf?: string;
  readonly system: string;
  readonly cores: number;
  readonly model: string;
  readonly memoryGiB: number;
  /** The file system of the system's temporary directory, where all logs are. */
  readonly fileSystem: string;
  readonly quick: boolean;
  /** Processes that ran or wanted to, on average over the minute before: what else the machine had to do. */
  readonly loadBefore: number;
  readonly tookSeconds: number;
}

/** All that was measured, in one run or in several. What was not is not there. */
export interface Figures {
  /** By the name of the section. */
  readonly conditions: Readonly<Record<string, Conditions>>;
  readonly commits?: readonly Comparison[];
  readonly reads?: readonly Comparison[];
  readonly failover?: FailoverFigures;
  readonly growth?: readonly Growth[];
  readonly catchUp?: CatchUp;
  readonly groups?: readonly FleetFigures[];
  readonly losses?: readonly LossFigures[];
  readonly masters?: readonly MasterFigures[];
  readonly chain?: readonly ChainFigures[];
  readonly snapshots?: readonly SnapshotFigures[];
  readonly requests?: readonly Comparison[];
  readonly bulk?: readonly BulkFigures[];
  readonly channels?: readonly DisturbedFigures[];
  readonly hostile?: readonly HostileFigures[];
  readonly detection?: DetectionFigures;
  readonly spread?: readonly SimulatedSize[];
}

/** Reads figures of earlier runs. Throws where `text` holds none. */
export function parseFigures(text: string): Figures {
  const figures: unknown = JSON.parse(text);
  const conditions = isRecord(figures) ? figures["conditions"] : undefined;
  if (!isRecord(conditions))
    throw new Error("these are no figures: they do not say under what conditions they came about");
  for (const [section, each] of Object.entries(conditions)) {
    if (!isRecord(each) || typeof each["date"] !== "string")
      throw new Error(`the conditions of ${JSON.stringify(section)} hold no date`);
  }
  return figures as Figures;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
