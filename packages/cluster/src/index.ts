/**
 * A cluster from a declaration: how it converges, which API it speaks, what shape it takes.
 *
 * This package composes layers that it is given and imports none of them. It holds the one replicated machine, the formation loop,
 * the seals and the door.
 *
 * @packageDocumentation
 */
export { ChainArchiver, type ArchiverOptions, type PlannedSegment } from "./chain/archiver.ts";
export { fileArchive } from "./chain/file-archive.ts";
export { ClusterBuilder } from "./builder.ts";
export { Cluster } from "./cluster.ts";
export { ClusterDeclaration, type TopologyResolver } from "./declaration.ts";
export { joinCluster, type Joined, type JoinOptions } from "./door/join.ts";
export {
  controllersDuty,
  defaultHistoryLimits,
  defaultKeepBlocks,
  type ChainLimits,
  type HistoryLimits,
} from "./duties/controllers.ts";
export type { DutyReport } from "./duties/duties.ts";
export type { DutyState } from "./duties/duty-runner.ts";
export {
  ArchiveBrokenError,
  ArchiveExistsError,
  ClusterAlreadyStartedError,
  ClusterIncompleteError,
  ClusterNotStartedError,
  CommandRefusedError,
  DeclarationMismatchError,
  DutyLostError,
  JoinRefusedError,
  JoinUnreachableError,
  NewerCommandError,
  OperatorKeysError,
  SealIncompleteError,
  SignaturePromiseError,
  SnapshotInvalidError,
  StandaloneTopologyError,
  TopologyTooSmallError,
  UnknownFaceError,
} from "./errors.ts";
export type { BrokenInvariant, ClusterCondition, ClusterHealth } from "./health.ts";
export { declarationId } from "./in-force.ts";
export type { Decision } from "./machine/decision.ts";
export { commandCodec, commandKinds, openEnvelope, sealEnvelope, type CommandKind } from "./machine/envelope.ts";
export type { FormationState, SealingVoters } from "./machine/formation-machine.ts";
export type { CommittedShift } from "./machine/recent-shifts.ts";
export { chainParts } from "./machine/kept-chain.ts";
export { ClusterMachine, type ClusterMachineOptions, type StateHash } from "./machine/machine.ts";
export { encodeTokenCommand, TokenRefusedError } from "./machine/token-machine.ts";
export type { OfflineOptions } from "./offline/offline-log.ts";
export { planRecovery, type RecoveryPlan } from "./offline/recover.ts";
export { planLoneRotation } from "./offline/rotate.ts";
export { SwitchWatch, type SwitchEnd } from "./loop/switch-watch.ts";
export type { ClockVerdict } from "./loop/clock-check.ts";
export type { DroppedShift, WaitingShift } from "./loop/waiting-shifts.ts";
export type { PendingApprovals } from "./operator/approvals.ts";
export { shiftRoles, shiftVerbs, type ShiftOrder, type ShiftOutcome, type ShiftVerb } from "./operator/shift.ts";
export type {
  CatalogLayer,
  CatalogParts,
  ClusterLayers,
  ClusterOrigin,
  ConsensusParts,
  MembershipParts,
  RemoteFaceParts,
  ServedCatalog,
} from "./parts.ts";
export type { RunningCluster } from "./running.ts";
