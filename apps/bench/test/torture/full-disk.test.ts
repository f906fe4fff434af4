import { expect, onTestFinished, test } from "vitest";
import { torturedByDisk } from "../../src/torture/disk.ts";
import { missing } from "../../src/torture/host.ts";
import { inScratch } from "../../src/torture/scratch.ts";

const lacking = await missing("root");

test.skipIf(lacking !== undefined)(
  "a leader whose disk is full steps down, the others go on, and it heals without a restart once there is room (needs a tmpfs of its own, as root)",
  async () => {
    const controller = new AbortController();
    onTestFinished(() => controller.abort(new Error("the test is over")));
    const verdict = await inScratch("torture-full", (directory) =>
      torturedByDisk("full", {
        directory,
        signal: controller.signal,
        seed: 1,
        clients: 8,
        electionTimeoutMs: 500,
        report: () => {},
      }),
    );
    expect(verdict).toMatchObject({ name: "full", findings: [] });
  },
);
