/**
 * The vocabulary of Revoada: strategies, faces, resources, roles, the seams between the layers, and their errors.
 *
 * Everything else depends on this package and this package depends on nothing. Implementations of the seams are checked
 * against the contract kits under `@revoada/fabric/contract/*`; in-memory implementations for tests and examples are
 * under `@revoada/fabric/memory`, those of the host under `@revoada/fabric/node`.
 *
 * @packageDocumentation
 */
export * from "./errors.ts";
export * from "./check.ts";
export * from "./face.ts";
export * from "./face-parse.ts";
export * from "./formation.ts";
export * from "./hint-feed.ts";
export * from "./ids.ts";
export * from "./liveness.ts";
export * from "./prescribed.ts";
export * from "./repeated-lines.ts";
export * from "./replicas.ts";
export * from "./resource.ts";
export * from "./resource-key.ts";
export * from "./strategy.ts";
export * from "./strategy-parse.ts";
export * from "./transition.ts";
export * from "./seams/archive.ts";
export * from "./seams/attestor.ts";
export * from "./seams/catalog.ts";
export * from "./seams/clock.ts";
export * from "./seams/consensus.ts";
export * from "./seams/container-runtime.ts";
export * from "./seams/content-store.ts";
export * from "./seams/control.ts";
export * from "./seams/discovery.ts";
export * from "./seams/disk.ts";
export * from "./seams/duty.ts";
export * from "./seams/face.ts";
export * from "./seams/format-adapter.ts";
export * from "./seams/identity.ts";
export * from "./seams/lease.ts";
export * from "./seams/log-store.ts";
export * from "./seams/logger.ts";
export * from "./seams/machine-store.ts";
export * from "./seams/membership.ts";
export * from "./seams/topology-strategy.ts";
export * from "./seams/transport.ts";
