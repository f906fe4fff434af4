/**
 * Ed25519 identity and a BLAKE3 chain of signed role shifts, sealed by voters and verified offline.
 *
 * @packageDocumentation
 */
export {};
