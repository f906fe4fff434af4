import { isatty } from "node:tty";

/** Where a command writes to. */
export interface CliOutput {
  write(data: string | Uint8Array): void;
  readonly isTerminal: boolean;
  /** Width of the terminal in characters. */
  readonly columns: number;
  /** Height of the terminal in lines. */
  readonly rows: number;
}

/** Everything that a command may know of the process around it. */
export interface CliIo {
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal;
  /** Calls `listener` on each SIGHUP, which ends the process where nobody listens, until the returned function is called. */
  readonly onHangUp: (listener: () => void) => () => void;
}

/** The process's own streams and environment. */
export function processIo(signal: AbortSignal): CliIo {
  const output = (stream: NodeJS.WriteStream & { readonly fd: number }): CliOutput => ({
    write: (data) => {
      stream.write(data);
    },
    isTerminal: isatty(stream.fd),
    get columns() {
      return stream.columns || 80;
    },
    get rows() {
      return stream.rows || 24;
    },
  });
  return {
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    // Opened only where it is read: an open one keeps the process alive.
    get stdin() {
      return process.stdin;
    },
    environment: process.env,
    workingDirectory: process.cwd(),
    signal,
    onHangUp: (listener) => {
      process.on("SIGHUP", listener);
      return () => process.off("SIGHUP", listener);
    },
  };
}
