import type { Revision } from "../../ids.ts";
import type { ResourceFormat, ResourceRef, ResourceWatchEvent } from "../../resource.ts";
import { formatResourceRef } from "../../resource-key.ts";
import type { AppliedResource, ResourceList, StoredResource } from "../../seams/face.ts";
import { type ContractTime, ContractViolation } from "../case.ts";
import type { FaceFixture, SampleResource } from "../face.ts";

/** A test body over a fixture. */
export type Body = (fixture: FaceFixture) => Promise<void>;

/** The format that samples are in. */
export function defaultFormat({ face }: FaceFixture): ResourceFormat {
  const [format] = face.manifest.formats;
  if (format === undefined) throw new ContractViolation("the manifest lists no format");
  return format;
}

/** Starts the face. */
export async function running(fixture: FaceFixture): Promise<void> {
  await fixture.time.run(fixture.face.start());
}

/** Applies one sample and gives what became of it. */
export async function apply(
  fixture: FaceFixture,
  sample: Pick<SampleResource, "body">,
  ifRevision?: Revision,
): Promise<AppliedResource> {
  const input = {
    format: defaultFormat(fixture),
    body: sample.body,
    ...(ifRevision === undefined ? {} : { ifRevision }),
  };
  const [applied] = await fixture.time.run(fixture.face.apply(input));
  if (applied === undefined) throw new ContractViolation("apply gave no result");
  return applied;
}

/** Reads one resource in the default format. */
export function get(fixture: FaceFixture, ref: ResourceRef): Promise<StoredResource> {
  return fixture.time.run(fixture.face.get(ref));
}

/** The names that a list holds, in its order. */
export function namesOf({ items }: Pick<ResourceList, "items">): readonly string[] {
  return items.map(({ ref }) => ref.name);
}

/** A watch that is read in the background until it is stopped. */
export class FaceWatcher {
  readonly events: ResourceWatchEvent[] = [];
  readonly #controller = new AbortController();
  readonly #time: ContractTime;
  readonly #done: Promise<void>;
  isOver = false;

  constructor({ face, selector, time }: Pick<FaceFixture, "face" | "selector" | "time">, fromRevision?: Revision) {
    this.#time = time;
    const options = { signal: this.#controller.signal, ...(fromRevision === undefined ? {} : { fromRevision }) };
    this.#done = this.#follow(face.watch(selector, options));
    this.#done.catch(() => {});
  }

  /** `type ref` of each event. */
  get lines(): readonly string[] {
    return this.events.map((event) =>
      event.type === "reset" ? `reset ${event.reason}` : `${event.type} ${formatResourceRef(event.ref)}`,
    );
  }

  async until(count: number): Promise<void> {
    await this.#time.until(() => this.events.length >= count || this.isOver);
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#time.run(this.#done.catch(() => {}));
  }

  async #follow(stream: AsyncIterable<ResourceWatchEvent>): Promise<void> {
    try {
      for await (const event of stream) this.events.push(event);
    } finally {
      this.isOver = true;
    }
  }
}
