import { logStoreContract, type LogStoreFixture, virtualTime } from "@revoada/fabric/contract/log-store";
import { virtualClock } from "@revoada/fabric/memory";
import { describe, test } from "vitest";
import { expectFailures } from "./references/defects.ts";
import { LogMedium, type LogStoreDefect, MemoryLogStore } from "./references/memory-log-store.ts";

async function fixture(defect?: LogStoreDefect): Promise<LogStoreFixture> {
  const clock = virtualClock();
  const medium = new LogMedium(clock);
  return {
    time: virtualTime(clock),
    store: () => new MemoryLogStore(medium, defect),
    async crash() {
      medium.crash();
    },
    failNextSync() {
      medium.failNextSync = true;
    },
    async [Symbol.asyncDispose]() {
      medium.crash();
    },
  };
}

describe("a log store in memory", () => {
  for (const { name, run } of logStoreContract(() => fixture())) test(name, run);
});

const defects: Readonly<Record<LogStoreDefect, readonly string[]>> = {
  "acknowledges before it is durable": ["what append has acknowledged survives a crash", "a vote survives a crash"],
  "splits a batch": ["a batch that a crash meets is there whole"],
  "writes the term apart from the vote": [
    "the last hard state holds",
    "a vote survives a crash together with its term",
  ],
  "forgets to truncate": ["truncateFrom drops an entry", "a crash after a truncation"],
  "drops what precedes a truncation": ["truncateFrom drops an entry", "truncateFrom without entries"],
  "reads one too many": ["a read begins at from and ends before to"],
  "ignores maxBytes": ["a read stops before maxBytes"],
  "forgets the base's term": ["compaction forgets entries up to its base", "a reset to a base ahead"],
  "forgets the base's configuration": ["a base's configuration comes back whole", "a reset of a fresh store"],
  "keeps entries over a reset": ["a reset to a base within the log", "a finished reset survives"],
  "keeps the old hard state over a reset": ["a reset to a base ahead", "a finished reset survives"],
  "makes a new store id at each opening": ["a medium keeps its store id"],
  "goes on after a failed sync": ["a failed sync rejects with LOG_FAILED"],
  "keeps kinds to itself": ["entries are read back as they were appended"],
  "reorders overlapping appends": ["overlapping appends are kept in the order"],
  "takes a cut behind the end for one of the end": ["truncateFrom behind the last entry"],
  "forgets the vote with a truncation": ["a vote outlives truncations"],
  "tells of configurations that are gone": ["configurations that are told at opening"],
  "drops an entry with each compaction": ["compacting to the base once more"],
};

describe("a log store that is broken on purpose is found out: it", () => {
  for (const [defect, fails] of Object.entries(defects)) {
    test(defect, () =>
      expectFailures(
        logStoreContract(() => fixture(defect as LogStoreDefect)),
        fails,
      ),
    );
  }
});
