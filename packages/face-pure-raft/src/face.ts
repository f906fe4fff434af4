import {
  type AppliedResource,
  type Catalog,
  type Face,
  type FaceComponents,
  type FaceFactory,
  type FaceLeases,
  type FaceManifest,
  type FaceReadOptions,
  type Fence,
  type FormatRegistry,
  InvalidValueError,
  parseFence,
  parseResourceRef,
  parseResourceSelector,
  parseRevision,
  type ResourceList,
  type ResourceRef,
  resourceKey,
  type ResourceSelector,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
} from "@revoada/fabric";
import { applyBody } from "./apply.ts";
import { FaceConflictError, FaceNotRunningError, FaceResourceNotFoundError } from "./errors.ts";
import { faceLeases } from "./leases.ts";
import { linkSignals } from "./link-signals.ts";
import { defaultPageLimits, type PageLimits, readPage, resourceOf } from "./pages.ts";
import { changeEvents, stateEvents } from "./watch-events.ts";

export interface PureRaftFaceOptions {
  /** Most items of one page of a list, 1,000 unless told. A larger `limit` is cut to it: go on with `next`. */
  readonly pageItems?: number;
  /** Most bytes of bodies in one page of a list, 4 MiB unless told; the first item is given whatever its size. */
  readonly pageBytes?: number;
}

/**
 * The native face: the verbs over the catalog itself, in this process.
 *
 * A body comes back in the format in which it was applied unless another is asked for, byte for byte where that is `native`. Pages of
 * a list are all read at one revision. A list or watch in a format that cannot say some value gives that one resource in its own
 * format, as its `format` tells; `get` rejects with `FORMAT_INVALID` instead. Applying documents in other words than they are stored
 * in (another format, other bytes) is a change.
 *
 * @example
 * ```ts
 * const face = pureRaftFace().create({ face, catalog, formats, clock, logger });
 * await face.start();
 * await face.apply({ format: "yaml", body: new TextEncoder().encode("kind: Machine\nname: rack-7") });
 * ```
 */
export function pureRaftFace(options: PureRaftFaceOptions = {}): FaceFactory {
  const limits: PageLimits = {
    items: checkSize(options.pageItems ?? defaultPageLimits.items, "pageItems"),
    bytes: checkSize(options.pageBytes ?? defaultPageLimits.bytes, "pageBytes"),
  };
  return { protocol: "pure-raft", create: (components) => new PureRaftFace(components, limits) };
}

function checkSize(value: number, path: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidValueError(path, value, "a whole number from 1");
}

class PureRaftFace implements Face {
  readonly manifest: FaceManifest;
  readonly leases: FaceLeases;
  readonly #catalog: Catalog;
  readonly #formats: FormatRegistry;
  readonly #limits: PageLimits;
  /** Aborts at shutdown; absent while the face is not running. */
  #life: AbortController | undefined;
  #subscribers = 0;

  constructor({ face, catalog, formats }: FaceComponents, limits: PageLimits) {
    this.manifest = { face, formats: formats.formats(), listens: false };
    this.#catalog = catalog;
    this.#formats = formats;
    this.#limits = limits;
    this.leases = faceLeases(catalog, () => this.#requireLife());
  }

  isRunning(): boolean {
    return this.#life !== undefined;
  }

  async start(): Promise<void> {
    this.#life ??= new AbortController();
  }

  async shutdown(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    life?.abort(new FaceNotRunningError(this.manifest.face.name));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async apply(
    input: Parameters<Face["apply"]>[0],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly AppliedResource[]> {
    this.#requireLife();
    return applyBody({ catalog: this.#catalog, formats: this.#formats }, input, options.signal);
  }

  async get(ref: ResourceRef, options: FaceReadOptions = {}): Promise<StoredResource> {
    this.#requireLife();
    const { format, consistency, signal } = options;
    const checked = parseResourceRef(ref);
    if (format !== undefined) this.#formats.get(format);
    const { entries, ageMs } = await this.#catalog.range(
      { start: resourceKey(checked) },
      {
        ...(consistency === undefined ? {} : { consistency }),
        ...(signal === undefined ? {} : { signal }),
      },
    );
    const [entry] = entries;
    if (entry === undefined) throw new FaceResourceNotFoundError(checked);
    const found = resourceOf(this.#formats, entry, { format, strict: true, ref: checked });
    return consistency === "stale" ? { ...found, ageMs } : found;
  }

  async list(
    selector: ResourceSelector,
    options: FaceReadOptions & { readonly limit?: number; readonly next?: string } = {},
  ): Promise<ResourceList> {
    this.#requireLife();
    const parts = { catalog: this.#catalog, formats: this.#formats, limits: this.#limits };
    return readPage(parts, { ...options, selector: parseResourceSelector(selector) });
  }

  async delete(
    ref: ResourceRef,
    options: { readonly ifRevision?: Revision; readonly fence?: Fence; readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly revision: Revision }> {
    this.#requireLife();
    const checked = parseResourceRef(ref);
    const key = resourceKey(checked);
    const expected = options.ifRevision === undefined ? undefined : parseRevision(options.ifRevision, "ifRevision");
    const { succeeded, revision, results } = await this.#catalog.txn(
      {
        compare: [
          { key, target: "createRevision", is: "!=", value: 0 },
          ...(expected === undefined ? [] : [{ key, target: "modRevision", is: "=", value: expected } as const]),
        ],
        // oxlint-disable-next-line unicorn/no-thenable -- the seam's word, as etcd's
        then: [{ type: "delete", key }],
        else: [{ type: "get", key }],
        ...(options.fence === undefined ? {} : { fence: parseFence(options.fence) }),
      },
      options.signal === undefined ? {} : { signal: options.signal },
    );
    if (succeeded) return { revision };
    const [found] = results;
    const entry = found?.type === "get" ? found.entries[0] : undefined;
    if (entry === undefined) throw new FaceResourceNotFoundError(checked);
    throw new FaceConflictError(checked, `expected revision ${expected}, it is at ${entry.modRevision}`);
  }

  async *watch(
    selector: ResourceSelector,
    options: Parameters<Face["watch"]>[1],
  ): AsyncGenerator<ResourceWatchEvent, void, undefined> {
    const life = this.#requireLife();
    const { format, fromRevision } = options;
    const checked = parseResourceSelector(selector);
    const from = fromRevision === undefined ? undefined : parseRevision(fromRevision, "fromRevision");
    if (format !== undefined) this.#formats.get(format);
    const { signal, release } = linkSignals(options.signal, life.signal);
    this.#subscribers++;
    try {
      const next = from ?? (((yield* this.#state(checked, format, signal)) + 1) as Revision);
      const parts = { catalog: this.#catalog, formats: this.#formats };
      yield* changeEvents(parts, { selector: checked, fromRevision: next, format, signal });
    } catch (error) {
      // The consumer's own abort is an end and no failure, wherever it struck.
      if (!options.signal.aborted) throw error;
    } finally {
      this.#subscribers--;
      release();
    }
    // A watch that ends because the face went down must not look as if nothing more had happened.
    if (!options.signal.aborted) life.signal.throwIfAborted();
  }

  #state(
    selector: ResourceSelector,
    format: StoredResource["format"] | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<ResourceWatchEvent, Revision, undefined> {
    const parts = { catalog: this.#catalog, formats: this.#formats, limits: this.#limits };
    return stateEvents((next) => {
      signal.throwIfAborted();
      return readPage(parts, {
        selector,
        signal,
        ...(format === undefined ? {} : { format }),
        ...(next === undefined ? {} : { next }),
      });
    });
  }

  async *snapshot(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal, release } = linkSignals(options.signal, this.#requireLife().signal);
    try {
      for await (const chunk of this.#catalog.snapshot({ signal })) {
        signal.throwIfAborted();
        yield chunk;
      }
      signal.throwIfAborted();
    } finally {
      release();
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>, options: { readonly signal?: AbortSignal } = {}): Promise<Revision> {
    this.#requireLife();
    return this.#catalog.restore(chunks, options.signal === undefined ? {} : { signal: options.signal });
  }

  counts(): { readonly resources: number; readonly subscribers: number } {
    return { resources: this.#catalog.counts().keys, subscribers: this.#subscribers };
  }

  #requireLife(): AbortController {
    if (this.#life === undefined) throw new FaceNotRunningError(this.manifest.face.name);
    return this.#life;
  }
}
