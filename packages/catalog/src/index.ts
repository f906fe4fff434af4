/**
 * The replicated resource catalog: MVCC revisions, compare-and-swap, watch and leases.
 *
 * @packageDocumentation
 */
export {};
