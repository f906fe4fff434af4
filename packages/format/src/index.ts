/**
 * YAML, JSON and native CBOR adapters behind one registry.
 *
 * @packageDocumentation
 */
export {};
