/**
 * What verifying a chain takes beside the bare checks of the signatures in it, and how large proofs are.
 */
import { checkpointOf, ed25519Verifier, proveNode, verifyChainWith, verifyProofWith } from "@revoada/attest-blake3";
import type { SignatureVerifier } from "@revoada/fabric";
import type { Scope } from "../scope.ts";
import { figure, markdownTable, ratio } from "../table.ts";
import { makeChain, type ChainShape, type MadeChain } from "./build.ts";

/** What verifying one chain took, beside the bare signatures in it. */
export interface ChainFigures extends ChainShape {
  readonly fileBytes: number;
  readonly signatures: number;
  /** The best of several runs, each of which follows upon one of the signatures alone. */
  readonly verifyMs: number;
  readonly signaturesMs: number;
  readonly proofBytes: number;
  /** A proof that begins at a checkpoint of the middle of the chain. */
  readonly shortProofBytes: number;
  readonly checkpointBytes: number;
  readonly proveMs: number;
  readonly verifyProofMs: number;
}

type Check = Parameters<SignatureVerifier["verify"]>;

function timed<T>(work: () => T): { readonly value: T; readonly ms: number } {
  const startMs = performance.now();
  const value = work();
  return { value, ms: performance.now() - startMs };
}

/** Every signature that verifying the chain asks about. */
function signaturesOf({ file, clusterId }: MadeChain): { readonly checks: readonly Check[]; readonly blocks: number } {
  const checks: Check[] = [];
  const verdict = verifyChainWith(file, clusterId, {
    verify: (...check) => {
      checks.push(check);
      return true;
    },
  });
  if (!verdict.ok) throw new Error(`the chain does not verify: ${verdict.fault.message}`);
  return { checks, blocks: verdict.head.height };
}

function checkAll(checks: readonly Check[]): void {
  const verifier = ed25519Verifier();
  for (const check of checks) if (!verifier.verify(...check)) throw new Error("a signature does not hold");
}

function measureChain(shape: ChainShape, rounds: number): ChainFigures {
  const chain = makeChain(shape);
  const { file, clusterId, node } = chain;
  const { checks, blocks } = signaturesOf(chain);
  let [verifyMs, signaturesMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let round = 0; round < rounds; round += 1) {
    signaturesMs = Math.min(signaturesMs, timed(() => checkAll(checks)).ms);
    verifyMs = Math.min(verifyMs, timed(() => verifyChainWith(file, clusterId, ed25519Verifier())).ms);
  }
  const request = { node, atMs: chain.middleMs };
  const proof = timed(() => proveNode(file, clusterId, request));
  const judged = timed(() => verifyProofWith(proof.value, clusterId, ed25519Verifier()));
  if (!judged.value.ok) throw new Error(`the proof does not verify: ${judged.value.fault.message}`);
  const from = checkpointOf(chain.early, clusterId, { verify: () => true });
  const short = proveNode(file, clusterId, { ...request, from });
  const again = verifyProofWith(short, clusterId, ed25519Verifier(), { from });
  if (!again.ok) throw new Error(`the proof from a checkpoint does not verify: ${again.fault.message}`);
  return {
    ...shape,
    blocks,
    fileBytes: file.length,
    signatures: checks.length,
    verifyMs,
    signaturesMs,
    proofBytes: proof.value.length,
    shortProofBytes: short.length,
    checkpointBytes: from.length,
    proveMs: proof.ms,
    verifyProofMs: judged.ms,
  };
}

/** Chains of one voter and of five, a thousand blocks and a hundred thousand. */
export function measureChains({ quick, say }: Scope): readonly ChainFigures[] {
  const cases: readonly (readonly [ChainShape, number])[] = quick
    ? [[{ voters: 5, blocks: 300, blocksPerCommand: 1 }, 1]]
    : [
        [{ voters: 1, blocks: 1000, blocksPerCommand: 1 }, 5],
        [{ voters: 5, blocks: 1000, blocksPerCommand: 1 }, 5],
        [{ voters: 5, blocks: 100_000, blocksPerCommand: 100 }, 1],
      ];
  return cases.map(([shape, rounds]) => {
    say(`a chain of ${shape.blocks} blocks by ${shape.voters} voters`);
    return measureChain(shape, rounds);
  });
}

export function chainsTable(chains: readonly ChainFigures[]): string {
  const rows = chains.map((chain) => [
    figure(chain.voters),
    figure(chain.blocks),
    figure(chain.blocksPerCommand),
    figure(chain.fileBytes / 1024),
    figure(chain.signatures),
    figure((chain.blocks / chain.verifyMs) * 1000),
    ratio(chain.signaturesMs / chain.verifyMs),
    figure(chain.proofBytes),
    figure(chain.shortProofBytes),
    figure(chain.checkpointBytes),
    figure(chain.proveMs, 0),
    figure(chain.verifyProofMs, 1),
  ]);
  const columns = [
    "voters",
    "blocks",
    "mostly per command",
    "file, KiB",
    "signatures",
    "blocks verified per second",
    "to the bare rate of ed25519",
    "proof, bytes",
    "proof from a checkpoint, bytes",
    "checkpoint, bytes",
    "made in ms",
    "verified in ms",
  ];
  return markdownTable(columns, rows);
}
