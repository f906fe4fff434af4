import {
  FabricError,
  type Face,
  type FaceComponents,
  type FaceManifest,
  noFaceLeases,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
} from "@revoada/fabric";
import type { Ledger } from "./ledger.ts";

class NotRunning extends FabricError {}

/** A face that keeps a word of each call. */
export class TestFace implements Face {
  readonly manifest: FaceManifest;
  readonly leases = noFaceLeases;
  readonly calls: string[] = [];
  readonly #name: string;
  readonly #ledger: Ledger;
  #running = false;
  #disposed = false;

  constructor(name: string, face: FaceComponents["face"], ledger: Ledger) {
    this.#name = name;
    this.#ledger = ledger;
    this.manifest = { face, formats: ["json"], listens: false };
    ledger.take(name);
  }

  isRunning(): boolean {
    return this.#running;
  }

  async start(): Promise<void> {
    this.#ledger.step(`${this.#name} started`);
    this.#running = true;
  }

  async shutdown(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#ledger.step(`${this.#name} shut down`);
  }

  async apply(): Promise<never[]> {
    this.#call("apply");
    return [];
  }

  async get(ref: StoredResource["ref"]): Promise<StoredResource> {
    this.#call(`get ${ref.name}`);
    return { ref, revision: 1 as Revision, format: "json", body: new Uint8Array() };
  }

  async list(): Promise<{ readonly revision: Revision; readonly items: readonly StoredResource[] }> {
    this.#call("list");
    return { revision: 1 as Revision, items: [] };
  }

  async delete(): Promise<{ readonly revision: Revision }> {
    this.#call("delete");
    return { revision: 2 as Revision };
  }

  async *watch(): AsyncGenerator<ResourceWatchEvent> {
    this.#call("watch");
    yield* [];
  }

  async *snapshot(): AsyncGenerator<Uint8Array> {
    this.#call("snapshot");
    yield Uint8Array.of(1);
  }

  async restore(): Promise<Revision> {
    this.#call("restore");
    return 3 as Revision;
  }

  counts(): { readonly resources: number; readonly subscribers: number } {
    return { resources: 4, subscribers: 5 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.shutdown();
    this.#ledger.give(this.#name);
  }

  #call(what: string): void {
    if (!this.#running) throw new NotRunning("FACE_NOT_RUNNING", "the face is not running");
    this.calls.push(what);
  }
}
