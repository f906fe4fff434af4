import {
  type AppliedResource,
  type Catalog,
  type CatalogEntry,
  FabricError,
  type Face,
  type FaceLeases,
  type FaceManifest,
  type FaceReadOptions,
  type Fence,
  isFabricError,
  type LeaseId,
  LeasesUnsupportedError,
  matchesSelector,
  parseResourceRef,
  type ResourceFormat,
  type ResourceList,
  type ResourceRef,
  resourceKey,
  resourceRange,
  resourceRefOfKey,
  type ResourceSelector,
  type ResourceWatchEvent,
  type Revision,
  type StoredResource,
} from "@revoada/fabric";

/** Ways in which the reference can be broken on purpose. */
export type FaceDefect =
  | "serves before its start"
  | "says created always"
  | "writes what is unchanged"
  | "adds a byte to bodies"
  | "ignores ifRevision"
  | "applies documents one by one"
  | "takes any format"
  | "takes malformed bodies"
  | "deletes what is not there"
  | "reads what is not there"
  | "lists everything"
  | "pages over the present"
  | "takes any page token"
  | "begins watches empty"
  | "calls every change added"
  | "is silent about gaps"
  | "watches on after its end"
  | "counts no subscribers"
  | "has no formats"
  | "hides the age of stale reads"
  | "applies without the lease"
  | "hides leases"
  | "calls another lease unchanged"
  | "ignores fences"
  | "skips the fence of what is unchanged"
  | "ignores pages of leases"
  | "renews ended leases";

/** The smallest face that keeps the contract: a list of JSON objects, or one, in the native format. */
export class MemoryFace implements Face {
  readonly manifest: FaceManifest;
  readonly leases: FaceLeases;
  readonly #catalog: Catalog;
  readonly #defect: FaceDefect | undefined;
  #running: AbortController | undefined;
  #subscribers = 0;

  constructor(catalog: Catalog, defect?: FaceDefect) {
    this.#catalog = catalog;
    this.#defect = defect;
    this.leases = this.#leases();
    const formats: readonly ResourceFormat[] = defect === "has no formats" ? [] : ["native"];
    this.manifest = { face: { name: "reference", kind: { protocol: "x-reference" } }, formats, listens: false };
  }

  isRunning(): boolean {
    return this.#running !== undefined;
  }

  async start(): Promise<void> {
    this.#running ??= new AbortController();
  }

  async shutdown(): Promise<void> {
    if (this.#defect !== "watches on after its end") this.#running?.abort();
    this.#running = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async apply(input: {
    readonly format: ResourceFormat;
    readonly body: Uint8Array;
    readonly source?: string;
    readonly ifRevision?: Revision;
    readonly lease?: LeaseId;
    readonly fence?: Fence;
  }): Promise<readonly AppliedResource[]> {
    this.#check(input.format);
    this.#requireLeases(input.lease ?? input.fence);
    const documents = this.#parse(input.body);
    if (this.#defect !== "applies documents one by one") return this.#applyAll(documents, input);
    const applied: AppliedResource[] = [];
    for (const document of documents) applied.push(...(await this.#applyAll([document], input)));
    return applied;
  }

  /** Nobody else writes here: what is read is never old. */
  #age({ consistency }: FaceReadOptions): { readonly ageMs?: number } {
    return consistency === "stale" && this.#defect !== "hides the age of stale reads" ? { ageMs: 0 } : {};
  }

  async get(ref: ResourceRef, options: FaceReadOptions = {}): Promise<StoredResource> {
    const { format } = options;
    this.#check(format);
    const entry = await this.#catalog.get(resourceKey(ref));
    if (entry !== undefined) return { ...this.#stored(entry), ...this.#age(options) };
    if (this.#defect === "reads what is not there")
      return { ref, revision: 0 as Revision, format: "native", body: new Uint8Array() };
    throw new FabricError("FACE_RESOURCE_NOT_FOUND", `there is no ${ref.kind} ${ref.name}`);
  }

  async list(
    selector: ResourceSelector,
    options: FaceReadOptions & { readonly limit?: number; readonly next?: string } = {},
  ): Promise<ResourceList> {
    this.#check(options.format);
    const { limit = 1000, next } = options;
    const [pinned, after] = this.#token(next);
    const revision =
      pinned === undefined || this.#defect === "pages over the present" ? this.#catalog.revision() : pinned;
    const { entries } = await this.#catalog.range({ ...resourceRange({}), revision });
    const matching = entries.filter(
      ({ key }) => this.#defect === "lists everything" || matchesSelector(selector, resourceRefOfKey(key)),
    );
    const rest = matching.filter(({ key }) => after === undefined || Buffer.from(key).toString("hex") > after);
    const items = rest.slice(0, limit).map((entry) => this.#stored(entry));
    const age = this.#age(options);
    const last = rest[limit - 1];
    const more = rest.length > limit && last !== undefined;
    return {
      revision,
      ...age,
      items,
      ...(more ? { next: `${revision}.${Buffer.from(last.key).toString("hex")}` } : {}),
    };
  }

  async delete(
    ref: ResourceRef,
    options: { readonly ifRevision?: Revision; readonly fence?: Fence } = {},
  ): Promise<{ readonly revision: Revision }> {
    this.#check();
    const key = resourceKey(ref);
    const entry = await this.#catalog.get(key);
    if (entry === undefined && this.#defect !== "deletes what is not there") {
      throw new FabricError("FACE_RESOURCE_NOT_FOUND", `there is no ${ref.kind} ${ref.name}`);
    }
    this.#refuseConflict(entry, options.ifRevision);
    const fence = this.#fenced(options.fence);
    const { revision } = await this.#catalog.txn({ compare: [], then: [{ type: "delete", key }], else: [], ...fence });
    return { revision };
  }

  async *watch(
    selector: ResourceSelector,
    options: { readonly fromRevision?: Revision; readonly signal: AbortSignal },
  ): AsyncGenerator<ResourceWatchEvent> {
    this.#check();
    const signal =
      this.#running === undefined ? options.signal : AbortSignal.any([options.signal, this.#running.signal]);
    this.#subscribers += this.#defect === "counts no subscribers" ? 0 : 1;
    try {
      let from = options.fromRevision;
      if (from === undefined) {
        const { entries, revision } = await this.#catalog.range(resourceRange({}));
        if (this.#defect !== "begins watches empty") yield* this.#added(entries, selector);
        from = (revision + 1) as Revision;
      }
      yield* this.#changes(selector, from, signal);
    } finally {
      this.#subscribers -= this.#defect === "counts no subscribers" ? 0 : 1;
    }
  }

  async *snapshot(): AsyncGenerator<Uint8Array> {
    this.#check();
    yield* this.#catalog.snapshot();
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<Revision> {
    this.#check();
    return this.#catalog.restore(chunks);
  }

  counts(): { readonly resources: number; readonly subscribers: number } {
    return { resources: this.#catalog.counts().keys, subscribers: this.#subscribers };
  }

  async *#changes(
    selector: ResourceSelector,
    fromRevision: Revision,
    signal: AbortSignal,
  ): AsyncGenerator<ResourceWatchEvent> {
    for await (const batch of this.#catalog.watch({ ...resourceRange({}), fromRevision, signal })) {
      if (batch.type === "progress") continue;
      if (batch.type === "reset") {
        if (this.#defect !== "is silent about gaps")
          yield { type: "reset", revision: batch.revision, reason: batch.reason };
        yield* this.#added(batch.entries, selector);
        continue;
      }
      for (const event of batch.events) {
        const ref = resourceRefOfKey(event.type === "put" ? event.entry.key : event.key);
        if (!matchesSelector(selector, ref)) continue;
        if (event.type === "delete") yield { type: "deleted", ref, revision: batch.revision };
        else {
          const known = event.previous !== undefined && this.#defect !== "calls every change added";
          yield { ...this.#stored(event.entry), type: known ? "modified" : "added" };
        }
      }
    }
  }

  *#added(entries: readonly CatalogEntry[], selector: ResourceSelector): Generator<ResourceWatchEvent> {
    for (const entry of entries) {
      const stored = this.#stored(entry);
      if (matchesSelector(selector, stored.ref)) yield { ...stored, type: "added" };
    }
  }

  async #applyAll(
    documents: readonly { readonly ref: ResourceRef; readonly body: Uint8Array }[],
    { ifRevision, lease, fence }: { readonly ifRevision?: Revision; readonly lease?: LeaseId; readonly fence?: Fence },
  ): Promise<readonly AppliedResource[]> {
    const before = await Promise.all(documents.map(({ ref }) => this.#catalog.get(resourceKey(ref))));
    for (const entry of before) this.#refuseConflict(entry, ifRevision);
    const isSame = (entry: CatalogEntry | undefined, body: Uint8Array): boolean =>
      Buffer.compare(entry?.value ?? Buffer.of(0), body) === 0 &&
      (entry?.lease === lease || this.#defect === "calls another lease unchanged");
    const changed = documents.filter(
      ({ body }, index) => this.#defect === "writes what is unchanged" || !isSame(before[index], body),
    );
    const attached = lease === undefined || this.#defect === "applies without the lease" ? {} : { lease };
    const then = changed.map(({ ref, body }) => ({
      type: "put" as const,
      key: resourceKey(ref),
      value: body,
      ...attached,
    }));
    const skipped = then.length === 0 && this.#defect === "skips the fence of what is unchanged";
    const terms = this.#fenced(skipped ? undefined : fence);
    const { revision } = await this.#catalog.txn({ compare: [], then, else: [], ...terms });
    return documents.map(({ ref, body }, index) => {
      const entry = before[index];
      if (entry === undefined || this.#defect === "says created always") return { ref, revision, outcome: "created" };
      return isSame(entry, body)
        ? { ref, revision: entry.modRevision, outcome: "unchanged" }
        : { ref, revision, outcome: "updated" };
    });
  }

  #fenced(fence: Fence | undefined): { readonly fence?: Fence } {
    return fence === undefined || this.#defect === "ignores fences" ? {} : { fence };
  }

  #requireLeases(wanted: unknown): void {
    if (wanted !== undefined && !this.#catalog.leases.supported) throw new LeasesUnsupportedError();
  }

  #leases(): FaceLeases {
    const { leases } = this.#catalog;
    const checked = <T>(call: () => Promise<T>): Promise<T> => (async () => (this.#check(), call()))();
    const pages = this.#defect !== "ignores pages of leases";
    return {
      supported: leases.supported,
      grant: (request) => checked(() => leases.grant(request)),
      revoke: (id) => checked(() => leases.revoke(id)),
      timeToLive: (id) => checked(() => leases.timeToLive(id)),
      keepAlive: (id) =>
        checked(() => leases.keepAlive(id)).catch((error: unknown) => {
          const isEnded = isFabricError(error, "CATALOG_LEASE_NOT_FOUND");
          if (isEnded && this.#defect === "renews ended leases") return { ttlMs: 1 };
          throw error;
        }),
      list: ({ after = 0, limit = 1_000 } = {}) =>
        checked(async () => {
          const rest = (await leases.list()).filter(({ id }) => id > after);
          const shown = pages ? rest.slice(0, limit) : rest;
          const last = shown.at(-1);
          return { leases: shown, ...(rest.length > limit && last !== undefined ? { next: last.id } : {}) };
        }),
      resources: (id, { after, limit = 1_000 } = {}) =>
        checked(async () => {
          const from = after === undefined ? Buffer.alloc(0) : resourceKey(after);
          const rest = (await leases.keys(id)).filter((key) => Buffer.compare(key, from) > 0).map(resourceRefOfKey);
          const shown = rest.slice(0, limit);
          const next = rest.length > limit ? shown.at(-1) : undefined;
          return { resources: shown, ...(next === undefined ? {} : { next }) };
        }),
    };
  }

  #refuseConflict(entry: CatalogEntry | undefined, ifRevision: Revision | undefined): void {
    if (ifRevision === undefined || this.#defect === "ignores ifRevision" || entry?.modRevision === ifRevision) return;
    throw new FabricError("FACE_CONFLICT", `it is at ${entry?.modRevision ?? 0}, not at ${ifRevision}`);
  }

  #parse(body: Uint8Array): readonly { readonly ref: ResourceRef; readonly body: Uint8Array }[] {
    try {
      const value = JSON.parse(new TextDecoder().decode(body)) as unknown;
      const documents = Array.isArray(value) ? (value as unknown[]) : [value];
      return documents.map((document) => ({
        ref: parseResourceRef(document),
        body: new TextEncoder().encode(JSON.stringify(document)),
      }));
    } catch (cause) {
      if (this.#defect === "takes malformed bodies") return [];
      throw new FabricError("FORMAT_INVALID", "it is no resource", { cause });
    }
  }

  #stored(entry: CatalogEntry): StoredResource {
    const body = this.#defect === "adds a byte to bodies" ? Uint8Array.of(...entry.value, 32) : entry.value;
    const hidden = entry.lease === undefined || this.#defect === "hides leases";
    const lease = hidden ? {} : { lease: entry.lease };
    return { ref: resourceRefOfKey(entry.key), revision: entry.modRevision, format: "native", body, ...lease };
  }

  #token(next: string | undefined): readonly [Revision | undefined, string | undefined] {
    if (next === undefined) return [undefined, undefined];
    const [revision = "", after = ""] = next.split(".");
    if (/^\d+$/.test(revision) && /^[0-9a-f]+$/.test(after)) return [Number(revision) as Revision, after];
    if (this.#defect === "takes any page token") return [undefined, undefined];
    throw new FabricError("FACE_BAD_PAGE_TOKEN", "nobody gave this token");
  }

  #check(format: ResourceFormat = "native"): void {
    if (!this.isRunning() && this.#defect !== "serves before its start")
      throw new FabricError("FACE_NOT_RUNNING", "not running");
    if (format !== "native" && this.#defect !== "takes any format")
      throw new FabricError("FORMAT_UNSUPPORTED", "speaks native");
  }
}
