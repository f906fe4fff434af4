/**
 * The seams of the host in memory: time that is advanced by hand, seeded randomness, disks that crash, and a network that
 * can be cut. For tests, examples and simulations; nothing in here touches the outside.
 *
 * @packageDocumentation
 */
export { type MemoryTransportLimits } from "./connection.ts";
export {
  type DiskOperation,
  type MemoryDisk,
  memoryDisk,
  type MemoryDiskOptions,
  memoryDisks,
  type MemoryDiskStatistics,
} from "./memory-disk.ts";
export {
  type MemoryNetwork,
  memoryNetwork,
  type MemoryNetworkOptions,
  type MemoryNetworkStatistics,
  type MemoryTransportOptions,
} from "./memory-network.ts";
export { memoryAddress } from "./network-fabric.ts";
export { type FramePassport, type FrameShaper, type FrameVerdict } from "./pipe.ts";
export { type CrashOutcome, sectorBytes } from "./sector-file.ts";
export { type SeededRandom, seededRandom } from "./seeded-random.ts";
export {
  ConditionNotMetError,
  type VirtualClock,
  virtualClock,
  type VirtualHost,
  type VirtualWait,
} from "./virtual-clock.ts";
