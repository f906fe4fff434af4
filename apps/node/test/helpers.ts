import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { CliIo } from "../src/cli/io.ts";

/** A command's surroundings whose output is kept. */
export interface CapturedIo extends CliIo {
  readonly out: () => string;
  readonly err: () => string;
  /** What SIGHUP does. */
  readonly hangUp: () => void;
}

export interface CaptureOptions {
  readonly isTerminal?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
  readonly stdin?: readonly Uint8Array[];
  readonly workingDirectory?: string;
  /** Aborts when the user interrupts; never unless told. */
  readonly signal?: AbortSignal;
  /** Told all that the command writes to stdout, as it writes it. */
  readonly onOutput?: (text: string) => void;
}

export function captureIo(options: CaptureOptions = {}): CapturedIo {
  const [out, err]: [Uint8Array[], Uint8Array[]] = [[], []];
  const hangUps = new Set<() => void>();
  const output = (target: Uint8Array[]): CliIo["stdout"] => ({
    write: (data) => {
      target.push(Buffer.from(data));
      if (target === out) options.onOutput?.(Buffer.from(data).toString("utf8"));
    },
    isTerminal: options.isTerminal ?? false,
    columns: 80,
    rows: 24,
  });
  const text = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString("utf8");
  return {
    stdout: output(out),
    stderr: output(err),
    stdin: (async function* () {
      yield* options.stdin ?? [];
    })(),
    environment: options.environment ?? {},
    workingDirectory: options.workingDirectory ?? tmpdir(),
    signal: options.signal ?? new AbortController().signal,
    onHangUp: (listener) => {
      hangUps.add(listener);
      return () => hangUps.delete(listener);
    },
    hangUp: () => {
      for (const listener of hangUps) listener();
    },
    out: () => text(out),
    err: () => text(err),
  };
}

/** A directory that is gone when the test is. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "revoada-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
