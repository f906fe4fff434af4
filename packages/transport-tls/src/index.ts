/**
 * TLS 1.3 between ed25519 identities: framed requests and bulk streams.
 *
 * @packageDocumentation
 */
export {};
