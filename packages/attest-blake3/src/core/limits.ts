/** Largest genesis, in bytes; most of it is the declaration. */
export const maxGenesisBytes: number = 128 * 1024;
/** Largest declaration, in bytes. */
export const maxDeclarationBytes: number = 64 * 1024;
/** Largest signed command, in bytes: 256 admissions with long zones fit. */
export const maxCommandBytes: number = 256 * 1024;
/** Largest block, in bytes: a command and the block's own fields. */
export const maxBlockBytes: number = maxCommandBytes + 1024;
/** Most signatures under one seal. */
export const maxSealSignatures = 256;
/** Largest seal, in bytes. */
export const maxSealBytes: number = 32 * 1024;
/** Longest zone name, in bytes of UTF-8. */
export const maxZoneBytes = 253;
/** Longest version of a node's program, in bytes of UTF-8. */
export const maxVersionBytes = 128;
/** Longest reason of a command, in bytes of UTF-8. */
export const maxReasonBytes = 512;
/** Largest cosignature, in bytes. */
export const maxCosignatureBytes: number = 1024;
