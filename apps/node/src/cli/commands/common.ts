import {
  isFabricError,
  parseFence,
  parseLeaseId,
  parseResourceRef,
  type Fence,
  type LeaseId,
  type ResourceRef,
} from "@revoada/fabric";
import { connectNode, type NodeClient } from "../../client.ts";
import { dataDirectoryOf } from "../../config/config.ts";
import { dataDirectoryFlag } from "../../config/settings.ts";
import { CliUsageError } from "../../errors.ts";
import type { ArgumentSpec, FlagSpec, Invocation } from "../command.ts";
import { outputFlag, painter, renderValue, type OutputFormat, type Style } from "../output.ts";
import { toPlain } from "../../daemon/status.ts";

/** The flags of commands that ask a node. */
export const clientFlags: readonly FlagSpec[] = [dataDirectoryFlag, outputFlag];

export const namespaceFlag: FlagSpec = {
  name: "namespace",
  short: "n",
  value: "NAME",
  summary: "the namespace of the resource",
};

export const kindArgument: ArgumentSpec = { name: "KIND[.GROUP]", required: true };

/** The data directory that this invocation is about. */
export function directoryOf(invocation: Invocation): string {
  const { io } = invocation;
  return dataDirectoryOf({
    flag: (name) => invocation.value(name),
    environment: io.environment,
    workingDirectory: io.workingDirectory,
  });
}

/** Asks the node of the data directory and lets go of it, whatever comes. */
export async function withNode<T>(invocation: Invocation, work: (node: NodeClient) => Promise<T>): Promise<T> {
  const node = await connectNode(directoryOf(invocation), { signal: invocation.io.signal });
  try {
    return await work(node);
  } finally {
    await node[Symbol.asyncDispose]();
  }
}

export function outputOf(invocation: Invocation): OutputFormat | undefined {
  return invocation.has("json") ? "json" : (invocation.value("output") as OutputFormat | undefined);
}

export type Paint = (style: Style, text: string) => string;

/** Shows a value to programs where a format is asked for, and else as text for people. */
export function show(invocation: Invocation, value: unknown, forPeople: (paint: Paint) => string): void {
  const format = outputOf(invocation);
  const { stdout, environment } = invocation.io;
  stdout.write(format === undefined ? forPeople(painter(stdout, environment)) : renderValue(toPlain(value), format));
}

/** `Deployment.apps` → kind and group. */
export function parseKind(text: string): { readonly kind: string; readonly group?: string } {
  const dot = text.indexOf(".");
  return dot < 0 ? { kind: text } : { kind: text.slice(0, dot), group: text.slice(dot + 1) };
}

/** The resource that `KIND[.GROUP] NAME [-n NAMESPACE]` means. Throws `FABRIC_INVALID_VALUE`. */
export function resourceOf(invocation: Invocation): ResourceRef {
  const [kind = "", name = ""] = invocation.arguments;
  return parseResourceRef({ ...parseKind(kind), name, namespace: invocation.value("namespace") });
}

/** A whole number out of a flag. Throws `CLI_INVALID_VALUE`. */
export function numberFlag(
  invocation: Invocation,
  flag: string,
  bounds: { readonly least: number; readonly most: number },
): number | undefined {
  const text = invocation.value(flag);
  if (text === undefined) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= bounds.least && value <= bounds.most) return value;
  throw new CliUsageError(
    "CLI_INVALID_VALUE",
    `--${flag}: expected a whole number from ${bounds.least} to ${bounds.most}, got ${JSON.stringify(text)}`,
  );
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `24h`, `7d` as milliseconds; `name` is what messages call it. Throws `CLI_INVALID_VALUE`. */
export function parseDuration(text: string, name: string): number {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const milliseconds = Number(count) * (unitMs[unit ?? ""] ?? Number.NaN);
  if (milliseconds >= 1) return milliseconds;
  throw new CliUsageError(
    "CLI_INVALID_VALUE",
    `${name}: expected a duration such as 90s, 24h or 7d, got ${JSON.stringify(text)}`,
  );
}

/** A duration out of a flag. Throws `CLI_INVALID_VALUE`. */
export function durationFlag(invocation: Invocation, flag: string): number | undefined {
  const text = invocation.value(flag);
  return text === undefined ? undefined : parseDuration(text, `--${flag}`);
}

/** A lease's id; `name` is what messages call it. Throws `CLI_INVALID_VALUE`. */
export function parseLease(text: string, name: string): LeaseId {
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(id)) return parseLeaseId(id);
  const expected = "the id of a lease, as lease list shows it";
  throw new CliUsageError("CLI_INVALID_VALUE", `${name}: expected ${expected}, got ${JSON.stringify(text)}`);
}

/** The condition of a write. */
export const fenceFlag: FlagSpec = {
  name: "fence",
  value: "DUTY=TOKEN",
  summary: "only while this duty is held under this token, such as reports=3/1042",
};

/** What `--fence` says. Throws `CLI_INVALID_VALUE`. */
export function fenceOf(invocation: Invocation): { readonly fence?: Fence } {
  const text = invocation.value(fenceFlag.name);
  if (text === undefined) return {};
  const [, duty, term, index] = /^([^=]*)=(\d{1,16})\/(\d{1,16})$/.exec(text) ?? [];
  try {
    return { fence: parseFence({ duty, token: { term: Number(term), index: Number(index) } }) };
  } catch (error) {
    if (!isFabricError(error)) throw error;
    const expected = "a duty and its token, such as reports=3/1042";
    throw new CliUsageError("CLI_INVALID_VALUE", `--fence: expected ${expected}, got ${JSON.stringify(text)}`);
  }
}

/** Resolves after a time; rejects with the signal's reason where that aborts first. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
