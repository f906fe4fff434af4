/** Largest genesis, in bytes; most of it is the declaration. */
export const maxGenesisBytes: number = 128 * 1024;
/** Largest declaration, in bytes. */
export const maxDeclarationBytes: number = 64 * 1024;
/** Largest signed command, in bytes: 256 admissions with long zones fit. */
export const maxCommandBytes: number = 256 * 1024;
/** Largest header of a block, in bytes. */
export const maxHeaderBytes = 512;
/** Largest block, in bytes: a command and the block's own fields. */
export const maxBlockBytes: number = maxCommandBytes + 1024;
/** Largest state record, in bytes: it names all voters. */
export const maxStateBytes: number = 16 * 1024;
/** Largest record of a node, in bytes. */
export const maxNodeRecordBytes = 1024;
/** Most nodes, and most tombstones, in a checkpoint. */
export const maxCheckpointNodes = 65_536;
/** Largest checkpoint, in bytes. */
export const maxCheckpointBytes: number = 64 * 1024 * 1024;
/** Most sealed blocks that a proof may go over. */
export const maxProofHops = 65_536;
/** Largest proof, in bytes: most have a few thousand. */
export const maxProofBytes: number = 64 * 1024 * 1024;
/** Most signatures under one seal. */
export const maxSealSignatures = 256;
/** Largest seal, in bytes. */
export const maxSealBytes: number = 32 * 1024;
/** Largest hop, in bytes: a header, a state record and a seal. */
export const maxHopBytes: number = maxHeaderBytes + maxStateBytes + maxSealBytes + 64;
/** Longest zone name, in bytes of UTF-8. */
export const maxZoneBytes = 253;
/** Longest version of a node's program, in bytes of UTF-8. */
export const maxVersionBytes = 128;
/** Longest reason of a command, in bytes of UTF-8. */
export const maxReasonBytes = 512;
/** Largest cosignature, in bytes. */
export const maxCosignatureBytes: number = 1024;
/** Largest export of a chain, in bytes. */
export const maxExportBytes: number = 1024 * 1024 * 1024;
/** Most records in an export of a chain. */
export const maxExportRecords: number = 8 * 1024 * 1024;
/** Largest export in JSON, in bytes: a text has to fit into one string. */
export const maxJsonBytes: number = 256 * 1024 * 1024;
