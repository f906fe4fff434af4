/**
 * The seams of the host on Node: its clocks, its random source, its disks, and the lock that keeps two processes out of one
 * directory.
 *
 * @packageDocumentation
 */
export { type DirectoryLock, DirectoryLockedError, lockDirectory } from "./lock-directory.ts";
export { makeDirectories } from "./make-directories.ts";
export { nodeDisk } from "./node-disk.ts";
export { systemClock } from "./system-clock.ts";
export { systemRandom } from "./system-random.ts";
