import { readFile, readlink } from "node:fs/promises";

/** Which process, so exactly that a later one with the same number is not taken for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to the start of the process; undefined where the system does not tell. */
  readonly startTicks?: string;
  /** Random for each boot of the machine. */
  readonly bootId?: string;
  /** The namespace in which `pid` counts: a container has its own. */
  readonly pidNamespace?: string;
}

async function orUndefined(text: Promise<string>): Promise<string | undefined> {
  try {
    return (await text).trim();
  } catch {
    return undefined;
  }
}

/** Field 22 of proc_pid_stat(5); the fields are counted from the last `)`, because a program's name may hold anything. */
async function startTicksOf(pid: number): Promise<string | undefined> {
  const stat = await orUndefined(readFile(`/proc/${pid}/stat`, "utf8"));
  if (stat === undefined) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // A zombie holds nothing open any more.
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** The identity of this process. */
export async function ownIdentity(): Promise<ProcessIdentity> {
  const startTicks = await startTicksOf(process.pid);
  const bootId = await orUndefined(readFile("/proc/sys/kernel/random/boot_id", "utf8"));
  const pidNamespace = await orUndefined(readlink("/proc/self/ns/pid"));
  return {
    pid: process.pid,
    ...(startTicks === undefined ? {} : { startTicks }),
    ...(bootId === undefined ? {} : { bootId }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  };
}

/** Whether a process runs. `unknown`: it counts in a namespace that cannot be seen from here. */
export async function stateOf(other: ProcessIdentity, own: ProcessIdentity): Promise<"alive" | "dead" | "unknown"> {
  if (other.bootId !== undefined && own.bootId !== undefined && other.bootId !== own.bootId) return "dead";
  if (other.pidNamespace !== own.pidNamespace) return "unknown";
  if (other.startTicks !== undefined) return (await startTicksOf(other.pid)) === other.startTicks ? "alive" : "dead";
  try {
    process.kill(other.pid, 0);
    return "alive";
  } catch (error) {
    return (error as { readonly code?: unknown }).code === "ESRCH" ? "dead" : "alive";
  }
}
