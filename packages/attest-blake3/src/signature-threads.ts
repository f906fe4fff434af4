import { Worker } from "node:worker_threads";
import type { NodeId, SignatureVerifier } from "@revoada/fabric";
import { CheckFailedError } from "./errors.ts";

/** Checks on their way to a thread. */
export interface SignatureBatch {
  readonly signers: readonly string[];
  /** Where each check ends in `bytes`: a signature of 64 bytes, then the message. */
  readonly ends: readonly number[];
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Sources run as they are, compiled files under their own name. */
const threadUrl = import.meta.url.endsWith(".ts")
  ? new URL("./signature-thread.ts", import.meta.url)
  : new URL("./signature-thread.js", import.meta.url);

const signatureLength = 64;
const batchChecks = 128;
const batchBytes = 256 * 1024;
/** So that a thread need not wait for the next one when it has done one. */
const batchesPerThread = 3;
/** A batch takes some ten milliseconds. */
const answerTimeoutMs = 60_000;

interface Sent {
  readonly start: number;
  readonly timer: NodeJS.Timeout;
}

interface Thread {
  readonly worker: Worker;
  /** What it has not answered yet, the oldest first: a thread answers in order. */
  readonly sent: Sent[];
}

/**
 * Threads that check signatures while something else goes on here. Says `true` to every check at once, and later which was the first one to be
 * wrong, by its number in the order of asking. At most three batches of 128 checks wait for each thread once {@link SignatureThreads.room} is awaited.
 */
export class SignatureThreads implements SignatureVerifier {
  readonly #threads: readonly Thread[];
  #signers: string[] = [];
  #ends: number[] = [];
  #pieces: Uint8Array[] = [];
  #length = 0;
  #asked = 0;
  #firstWrong: number | undefined;
  #failure: CheckFailedError | undefined;
  #wake: (() => void) | undefined;

  /** `script` is what a thread runs; something else only to see what becomes of a thread that fails. */
  constructor(count: number, script: URL = threadUrl) {
    this.#threads = Array.from({ length: count }, () => this.#start(script));
  }

  #start(script: URL): Thread {
    const worker = new Worker(script, { name: "revoada-signatures" });
    const thread: Thread = { worker, sent: [] };
    worker.on("message", (place: number) => {
      const sent = thread.sent.shift();
      if (sent === undefined) return;
      clearTimeout(sent.timer);
      if (place >= 0) this.#noteWrong(sent.start + place);
      this.#wake?.();
    });
    worker.on("error", (cause) => this.#fail(cause instanceof Error ? cause.message : String(cause), cause));
    worker.on("exit", () => this.#fail("it has ended"));
    return thread;
  }

  /** The lowest number of a check that is known to be wrong by now. */
  get firstWrong(): number | undefined {
    return this.#firstWrong;
  }

  /** Takes a check to the next batch. */
  verify(signer: NodeId, message: Uint8Array, signature: Uint8Array): boolean {
    const place = this.#asked;
    this.#asked += 1;
    if (signature.length !== signatureLength) {
      this.#noteWrong(place);
      this.#signers.push("");
    } else this.#signers.push(signer);
    // A signature of another length was judged above; what stands in its place is not looked at.
    const shown = signature.length === signatureLength ? signature : new Uint8Array(signatureLength);
    this.#pieces.push(shown, message);
    this.#length += signatureLength + message.length;
    this.#ends.push(this.#length);
    if (this.#signers.length >= batchChecks || this.#length >= batchBytes) this.#send();
    return true;
  }

  #send(): void {
    const count = this.#signers.length;
    if (count === 0) return;
    const bytes = new Uint8Array(this.#length);
    let offset = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, offset);
      offset += piece.length;
    }
    const batch: SignatureBatch = { signers: this.#signers, ends: this.#ends, bytes };
    [this.#signers, this.#ends, this.#pieces, this.#length] = [[], [], [], 0];
    const thread = this.#idlest();
    const timer = setTimeout(() => this.#fail(`no answer for ${answerTimeoutMs} ms`), answerTimeoutMs);
    thread.sent.push({ start: this.#asked - count, timer });
    thread.worker.postMessage(batch, [bytes.buffer]);
  }

  #idlest(): Thread {
    return this.#threads.reduce((best, each) => (each.sent.length < best.sent.length ? each : best));
  }

  #noteWrong(place: number): void {
    this.#firstWrong = Math.min(place, this.#firstWrong ?? place);
  }

  #fail(why: string, cause?: unknown): void {
    this.#failure ??= new CheckFailedError(why, { cause });
    this.#wake?.();
  }

  /** True where a thread has less to do than it may have. */
  get hasRoom(): boolean {
    return this.#idlest().sent.length < batchesPerThread;
  }

  /** Resolves once a thread has less to do than it may have. Rejects with `ATTEST_CHECK_FAILED`. */
  room(): Promise<void> {
    return this.#until(() => this.hasRoom);
  }

  /** Resolves once every check that was asked for is answered. Rejects with `ATTEST_CHECK_FAILED`. */
  settled(): Promise<void> {
    this.#send();
    return this.#until(() => this.#threads.every(({ sent }) => sent.length === 0));
  }

  async #until(holds: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (holds()) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends the threads. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { worker, sent } of this.#threads) {
      for (const { timer } of sent) clearTimeout(timer);
      worker.removeAllListeners("exit");
    }
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}
