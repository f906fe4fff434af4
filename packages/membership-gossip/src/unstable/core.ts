/**
 * The protocol without time, disk or network, for simulations and tools. Versions do not cover it.
 *
 * @packageDocumentation
 */
export { GossipCore, type GossipCoreOptions } from "../core/core.ts";
export type { Effect, MemberFacts } from "../core/effects.ts";
export { decodeFrame, encodeFrame, type Frame } from "../core/frames.ts";
export { decodeItem, type GossipRecord, type Item, type Page, type SignedItem, type Verdict } from "../core/items.ts";
export { fanOut, limits, observersPerSubject, openRequestsMax, requestTimeoutMs } from "../core/limits.ts";
export { tickMs } from "../core/local-health.ts";
export { newsRounds } from "../core/news.ts";
export { type Reader, type ReadItem, RememberingReader } from "../core/reader.ts";
export { Refusal, type RefusalReason } from "../core/refusal.ts";
export type { Now } from "../core/store.ts";
export type { Standing } from "../core/subject.ts";
