import { type Face, type FaceComponents, type FabricFace, isFabricError, silentLogger } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { defaultFormats } from "@revoada/format";
import { pureRaftFace, type PureRaftFaceOptions } from "@revoada/face-pure-raft";
import { MemoryCatalog } from "./memory-catalog.ts";

export const rawFace: FabricFace = { name: "raw", kind: { protocol: "pure-raft" } };

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** A body of machines in YAML. */
export function machines(...names: readonly string[]): { readonly format: "yaml"; readonly body: Uint8Array } {
  return { format: "yaml", body: bytesOf(names.map((name) => `kind: Machine\nname: ${name}\n`).join("---\n")) };
}

/** One machine that says a number. */
export function machine(name: string, rack: number): { readonly format: "yaml"; readonly body: Uint8Array } {
  return { format: "yaml", body: bytesOf(`kind: Machine\nname: ${name}\nrack: ${rack}\n`) };
}

export interface LocalFace {
  readonly catalog: MemoryCatalog;
  readonly face: Face;
}

export function makeFace(options: PureRaftFaceOptions = {}, components: Partial<FaceComponents> = {}): LocalFace {
  const catalog = new MemoryCatalog();
  const face = pureRaftFace(options).create({
    face: rawFace,
    catalog,
    formats: defaultFormats(),
    clock: virtualClock(),
    logger: silentLogger,
    ...components,
  });
  return { catalog, face };
}

export async function startedFace(options: PureRaftFaceOptions = {}): Promise<LocalFace> {
  const local = makeFace(options);
  await local.face.start();
  return local;
}

/** The code with which a promise rejects, or "none". */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "none";
  } catch (error) {
    return isFabricError(error) ? error.code : String(error);
  }
}

/** The first `count` items, and then no more. */
export async function take<T>(items: AsyncIterable<T>, count: number): Promise<readonly T[]> {
  const taken: T[] = [];
  for await (const item of items) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

export async function* streamOf<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  yield* items;
}

export async function collect<T>(items: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
