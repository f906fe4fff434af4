import type { Attestor, ClusterId, Identity, NodeId, Seal } from "@revoada/fabric";
import { checkApproval, encodeApproval, readApproval, signApproval } from "./core/approval.ts";
import { blockHash, blockMaker } from "./core/block.ts";
import { readChainFile } from "./core/chain-file.ts";
import { ChainVerifier } from "./core/chain-verifier.ts";
import { condenseChain, encodeArchive } from "./core/condense.ts";
import { openCommand, signCommand, signSuccession } from "./core/command.ts";
import { cosign, encodeCosignature, openCosignature } from "./core/cosignature.ts";
import { createGenesis, openGenesis } from "./core/genesis.ts";
import { hashOf } from "./core/hash.ts";
import { placeOfRecord } from "./core/leap.ts";
import { checkSeal, encodeSeal, readSeal, sealStatement, signHead } from "./core/seal.ts";
import { checkTokenProof, createToken, decodeToken, encodeToken, proveToken } from "./core/token.ts";
import { exportChainFile, verifyChainWith } from "./core/verify-chain.ts";
import { ed25519Verifier } from "./ed25519-verifier.ts";
import { identityFromSeed } from "./identity.ts";

/**
 * The attestor of one identity: ed25519 by `node:crypto`, BLAKE3, canonical CBOR.
 *
 * Signing refuses with `ATTEST_NOT_CANONICAL` what could not be read again (a field out of its bounds, a text of several lines).
 * `openSeal` takes the voters that must have signed: those of `ChainVerifier.sealVoters()`.
 *
 * @example
 * ```ts
 * const attestor = blake3Attestor(identityFromSeed(seed));
 * const verdict = attestor.verifyChain(file, clusterId);
 * ```
 */
export function blake3Attestor(identity: Identity): Attestor {
  const verifier = ed25519Verifier();
  const blocks = blockMaker();
  return {
    identity,
    verifySignature: (signer, message, signature) => verifier.verify(signer, message, signature),
    hash: hashOf,
    createGenesis: (input) => createGenesis(input, identity),
    openGenesis: (bytes) => openGenesis(bytes, verifier),
    signCommand: (command) => signCommand(command, identity),
    signSuccession: (clusterId, successor) => signSuccession(clusterId, successor, identity),
    openCommand: (bytes) => openCommand(bytes, verifier),
    encodeApproval,
    readApproval,
    signApproval: (statement) => signApproval(statement, identity),
    checkApproval: (statement, signature) => checkApproval(statement, signature, verifier),
    cosign: (clusterId, head) => cosign(clusterId, head, identity),
    encodeCosignature,
    openCosignature: (bytes, clusterId) => openCosignature(bytes, clusterId, verifier),
    makeBlock: (input) => blocks.make(input),
    blockHash: (bytes) => blockHash(bytes),
    signHead: (clusterId, head) => signHead(clusterId, head, identity),
    checkHead: (clusterId, head, { signer, signature }) =>
      verifier.verify(signer, sealStatement(clusterId, head), signature),
    encodeSeal,
    readSeal: (bytes) => readSeal(bytes),
    openSeal(bytes: Uint8Array, clusterId: ClusterId, voters: ReadonlySet<NodeId>): Seal {
      const seal = readSeal(bytes);
      checkSeal(seal, clusterId, voters, verifier);
      return seal;
    },
    exportChain: exportChainFile,
    condense: condenseChain,
    archiveChain: encodeArchive,
    readChain: readChainFile,
    placeOf: placeOfRecord,
    verifyChain: (bytes, clusterId) => verifyChainWith(bytes, clusterId, verifier),
    follow: (genesis, clusterId, { from, ...options } = {}) =>
      from === undefined
        ? new ChainVerifier({ ...options, genesis, clusterId, verifier })
        : ChainVerifier.from(from, { ...options, clusterId, verifier }),
    createToken: (input) => createToken(input, identityFromSeed),
    encodeToken,
    decodeToken,
    proveToken: (token, channelBinding, node) => proveToken(token, channelBinding, node, identityFromSeed),
    checkTokenProof: (record, clusterId, channelBinding, node, proof) =>
      checkTokenProof(record, { clusterId, channelBinding, node, proof }, verifier),
  };
}
