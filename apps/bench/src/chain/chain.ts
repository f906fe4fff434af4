/**
 * What verifying a chain takes beside the bare checks of the signatures in it, and how large proofs are.
 */
import { availableParallelism } from "node:os";
import {
  blake3Attestor,
  checkpointOf,
  ed25519Verifier,
  identityFromSeed,
  proveNode,
  readChainFile,
  verifyChainInParallel,
  verifyChainWith,
  verifyProofWith,
} from "@revoada/attest-blake3";
import type { Scope } from "../scope.ts";
import { figure, markdownTable, ratio } from "../table.ts";
import { BareCheckers, type Check } from "./bare-checkers.ts";
import { makeChain, type ChainShape, type MadeChain } from "./build.ts";

/** What verifying one chain took, beside the bare signatures in it. */
export interface ChainFigures extends ChainShape {
  readonly fileBytes: number;
  readonly signatures: number;
  /** The best of several runs, each of which follows upon one of the signatures alone. */
  readonly verifyMs: number;
  readonly signaturesMs: number;
  /** Hashing the records of the file, and nothing else. */
  readonly hashesMs: number;
  /** The same on several threads, and the bare signatures shared out among as many. */
  readonly jobs: number;
  readonly parallelMs: number;
  readonly parallelSignaturesMs: number;
  readonly proofBytes: number;
  /** A proof that begins at a checkpoint of the middle of the chain. */
  readonly shortProofBytes: number;
  readonly checkpointBytes: number;
  readonly proveMs: number;
  readonly verifyProofMs: number;
}

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

const attestor = blake3Attestor(identityFromSeed(new Uint8Array(32)));

function hashAll(file: Uint8Array): void {
  for (const { bytes } of readChainFile(file)) attestor.hash(bytes);
}

type Times = Pick<ChainFigures, "verifyMs" | "signaturesMs" | "hashesMs" | "parallelMs" | "parallelSignaturesMs">;

/** The best of several rounds, in each of which everything takes its turn. */
async function timesOf({ file, clusterId }: MadeChain, checks: readonly Check[], scope: Rounds): Promise<Times> {
  const never = Number.POSITIVE_INFINITY;
  const best = {
    verifyMs: never,
    signaturesMs: never,
    hashesMs: never,
    parallelMs: never,
    parallelSignaturesMs: never,
  };
  const note = (name: keyof Times, ms: number): void => {
    best[name] = Math.min(best[name], ms);
  };
  await using checkers = new BareCheckers(scope.jobs);
  await checkers.load(checks);
  for (let round = 0; round < scope.rounds; round += 1) {
    note("signaturesMs", timed(() => checkAll(checks)).ms);
    note("verifyMs", timed(() => verifyChainWith(file, clusterId, ed25519Verifier())).ms);
    note("hashesMs", timed(() => hashAll(file)).ms);
    let startMs = performance.now();
    await checkers.checkAll();
    note("parallelSignaturesMs", performance.now() - startMs);
    startMs = performance.now();
    const verdict = await verifyChainInParallel(file, clusterId, { jobs: scope.jobs });
    if (!verdict.ok) throw new Error(`the chain does not verify: ${verdict.fault.message}`);
    note("parallelMs", performance.now() - startMs);
  }
  return best;
}

interface Rounds {
  readonly rounds: number;
  readonly jobs: number;
}

async function measureChain(shape: ChainShape, rounds: number): Promise<ChainFigures> {
  const chain = makeChain(shape);
  const { file, clusterId, node } = chain;
  const { checks, blocks } = signaturesOf(chain);
  const jobs = availableParallelism();
  const times = await timesOf(chain, checks, { rounds, jobs });
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
    ...times,
    jobs,
    proofBytes: proof.value.length,
    shortProofBytes: short.length,
    checkpointBytes: from.length,
    proveMs: proof.ms,
    verifyProofMs: judged.ms,
  };
}

/** Chains of one voter and of five, eight thousand blocks and thirty thousand: long enough that starting threads is little beside them. */
export async function measureChains({ quick, say }: Scope): Promise<readonly ChainFigures[]> {
  const cases: readonly (readonly [ChainShape, number])[] = quick
    ? [[{ voters: 5, blocks: 300, blocksPerCommand: 1 }, 1]]
    : [
        [{ voters: 1, blocks: 8000, blocksPerCommand: 1 }, 3],
        [{ voters: 5, blocks: 8000, blocksPerCommand: 1 }, 3],
        [{ voters: 5, blocks: 30_000, blocksPerCommand: 100 }, 2],
      ];
  const measured: ChainFigures[] = [];
  for (const [shape, rounds] of cases) {
    say(`a chain of ${shape.blocks} blocks by ${shape.voters} voters`);
    measured.push(await measureChain(shape, rounds));
  }
  return measured;
}

export function chainsTable(chains: readonly ChainFigures[]): string {
  const rate = (blocks: number, ms: number): string => figure((blocks / ms) * 1000);
  const speeds = chains.map((chain) => [
    figure(chain.voters),
    figure(chain.blocks),
    figure(chain.blocksPerCommand),
    figure(chain.fileBytes / 1024),
    figure(chain.signatures),
    rate(chain.blocks, chain.verifyMs),
    ratio(chain.signaturesMs / chain.verifyMs),
    ratio((chain.signaturesMs + chain.hashesMs) / chain.verifyMs),
    figure(chain.jobs),
    rate(chain.blocks, chain.parallelMs),
    ratio(chain.parallelSignaturesMs / chain.parallelMs),
  ]);
  const shape = ["voters", "blocks", "mostly per command"];
  const speedColumns = [
    ...shape,
    "file, KiB",
    "signatures",
    "blocks verified per second",
    "to the bare rate of ed25519",
    "to ed25519 and BLAKE3",
    "threads",
    "blocks per second on them",
    "to the bare rate on as many",
  ];
  const proofs = chains.map((chain) => [
    figure(chain.voters),
    figure(chain.blocks),
    figure(chain.blocksPerCommand),
    figure(chain.proofBytes),
    figure(chain.shortProofBytes),
    figure(chain.checkpointBytes),
    figure(chain.proveMs, 0),
    figure(chain.verifyProofMs, 1),
  ]);
  const proofColumns = [
    ...shape,
    "proof, bytes",
    "proof from a checkpoint, bytes",
    "checkpoint, bytes",
    "made in ms",
    "verified in ms",
  ];
  return `${markdownTable(speedColumns, speeds)}\n\n${markdownTable(proofColumns, proofs)}`;
}
