/**
 * Formations: node states, guarded transitions, topology strategies and the reactor that closes losses. Pure.
 *
 * @packageDocumentation
 */
export {};
