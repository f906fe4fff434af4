/** What was taken and must be given back, last taken first. */
export class ReleaseStack {
  readonly #releases: (() => PromiseLike<void> | void)[] = [];

  push(release: () => PromiseLike<void> | void): void {
    this.#releases.push(release);
  }

  /** Runs every release, even where one fails; rejects with the first failure at the end. */
  async release(): Promise<void> {
    let failed = false;
    let failure: unknown;
    for (let release = this.#releases.pop(); release !== undefined; release = this.#releases.pop()) {
      try {
        await release();
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
    if (failed) throw failure;
  }
}
