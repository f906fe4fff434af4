/**
 * The native face of Revoada and its client, in-process, over the transport and over a local socket.
 *
 * @packageDocumentation
 */
export {};
