/** What was taken and must be given back, the last first. */
export class ReleaseStack {
  readonly #releases: (() => unknown)[] = [];
  #released = false;

  /** Takes something that is given back by disposing of it. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  /** What comes after everything was given back is given back at once: a start that went on while the node was stopped leaves nothing. */
  defer(release: () => unknown): void {
    if (this.#released) void Promise.resolve(release()).catch(() => undefined);
    else this.#releases.push(release);
  }

  /** Gives everything back, even where one release fails; rejects with the first failure at the end. */
  async release(): Promise<void> {
    this.#released = true;
    const failures: unknown[] = [];
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      try {
        await release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
