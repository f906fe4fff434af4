import { writeSync } from "node:fs";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/**
 * Ends a run with `N passed, N failed`, and before it the name of every test that was skipped: what did not run is said.
 *
 * Modules that did not load and errors outside of any test count as failed.
 */
export default class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped: string[] = [];

  onInit(): void {
    // At the exit of the process, so that nothing can be printed after it.
    process.once("exit", () => this.#print());
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    this.#passed = 0;
    this.#skipped = [];
    this.#failed = errors.length;
    for (const testModule of modules) {
      this.#failed += testModule.errors().length;
      for (const suite of testModule.children.allSuites()) this.#failed += suite.errors().length;
      for (const test of testModule.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") this.#passed += 1;
        else if (state === "failed") this.#failed += 1;
        else this.#skipped.push(`${testModule.project.name}: ${test.fullName}`);
      }
    }
  }

  #print(): void {
    const lines = this.#skipped.map((name) => `skipped: ${name}`);
    const skipped = this.#skipped.length === 0 ? "" : `, ${this.#skipped.length} skipped`;
    lines.push(`${this.#passed} passed, ${this.#failed} failed${skipped}`);
    writeSync(1, `${lines.join("\n")}\n`);
  }
}
