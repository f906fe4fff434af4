import type { ChainVerdict, ClusterId } from "@revoada/fabric";
import { InvalidValueError } from "@revoada/fabric";
import type { ReplayInput } from "./core/verify-chain.ts";
import { replayChain, verifyChainWith } from "./core/verify-chain.ts";
import type { VerifyOptions } from "./core/verify-options.ts";
import { ed25519Verifier } from "./ed25519-verifier.ts";
import { SignatureThreads } from "./signature-threads.ts";

/** Most threads of one verification. */
const maxJobs = 256;

export interface ParallelOptions extends VerifyOptions {
  /** How many threads check signatures, 1 to 256; with one, no thread is made and everything happens here. */
  readonly jobs: number;
  /** Rejects with its reason when it fires. */
  readonly signal?: AbortSignal;
}

/**
 * As `verifyChainWith` with the native ed25519, and with the very same verdict, but signatures are checked by `jobs` threads while the chain is
 * replayed here. What waits for them is bounded, however long the chain is.
 *
 * Resolves with a verdict for any bytes. Rejects with `ATTEST_CHECK_FAILED` where a thread fails, with `FABRIC_INVALID_VALUE` for a number of jobs
 * that is none, and with the signal's reason.
 */
export async function verifyChainInParallel(
  bytes: Uint8Array,
  clusterId: ClusterId,
  { jobs, signal, ...options }: ParallelOptions,
): Promise<ChainVerdict> {
  if (!Number.isSafeInteger(jobs) || jobs < 1 || jobs > maxJobs)
    throw new InvalidValueError("jobs", jobs, `a whole number from 1 to ${maxJobs}`);
  const now = ed25519Verifier();
  if (jobs === 1) return verifyChainWith(bytes, clusterId, now, options);
  await using threads = new SignatureThreads(jobs);
  const input = { bytes, clusterId, now, options };
  const replay = replayChain({ ...input, inOrder: threads });
  let verdict: ChainVerdict | undefined;
  while (verdict === undefined && threads.firstWrong === undefined) {
    signal?.throwIfAborted();
    if (!threads.hasRoom) await threads.room();
    const step = replay.next();
    if (step.done === true) verdict = step.value;
  }
  await threads.settled();
  signal?.throwIfAborted();
  return verdict === undefined || threads.firstWrong !== undefined
    ? verdictUpon(threads.firstWrong as number, input)
    : verdict;
}

/** What checking one after another would have said: all signatures before this one are right, and it is not. */
function verdictUpon(firstWrong: number, input: Omit<ReplayInput, "inOrder">): ChainVerdict {
  let asked = 0;
  const inOrder = { verify: (): boolean => asked++ !== firstWrong };
  const replay = replayChain({ ...input, inOrder });
  for (;;) {
    const step = replay.next();
    if (step.done === true) return step.value;
  }
}
