import { discoveryContract } from "@revoada/fabric/contract/discovery";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { memoryDiscovery, type DiscoveryDefect } from "./references/memory-discovery.ts";

describe("a source in memory", () => {
  for (const { name, run } of discoveryContract(() => memoryDiscovery())) test(name, run);
});

const defects: Readonly<Record<DiscoveryDefect, readonly string[]>> = {
  "finds nobody": ["what is there is found", "a second start does nothing"],
  "names no source": ["what is there is found"],
  "gives what is no address": ["what is there is found"],
  "forgets what was found before": ["a stream that begins late"],
  "goes on after the signal": ["a stream ends when its signal aborts"],
  "ends all streams with one": ["a stream ends when its signal aborts"],
  "streams for ever": ["shutting down ends the streams"],
  "cannot be stopped twice": ["shutting down ends the streams"],
};

describe("a source that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        discoveryContract(() => memoryDiscovery(defect as DiscoveryDefect)),
        fails,
      ),
    );
  }
});
