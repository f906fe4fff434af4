/**
 * The reference node as a library: a client for the daemon of a data directory, and the daemon itself.
 *
 * @packageDocumentation
 */
export { connectNode, type NodeClient } from "./client.ts";
export { loadConfig, type ConfigSources, type NodeConfig } from "./config/config.ts";
export type { LogLevel } from "./config/settings.ts";
export type { BlockLine, ChainReport } from "./daemon/chain-report.ts";
export type { HealthReport } from "./daemon/control.ts";
export { startNode, type NodeEnd, type RunningNode, type StartOptions } from "./daemon/daemon.ts";
export { createLogger } from "./daemon/logger.ts";
export type { FormationLine, FormationReport, MemberStatusLine, NodeStatus } from "./daemon/status.ts";
export { version } from "./version.ts";
