/**
 * Declaration, builder, the one replicated machine and the formation loop.
 *
 * @packageDocumentation
 */
export {};
