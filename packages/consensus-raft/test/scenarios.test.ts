/** Scenarios as data: what each is about stands in its file, under the name that etcd gave it. */
import { describe, expect, test } from "vitest";
import { scenario } from "./scenarios/commands.ts";
import { answered, dataFiles, parseBlocks, testDataFiles } from "./support/data-driven.ts";

const names = [
  "async-storage-writes",
  "async-storage-writes-append-aba-race",
  "campaign",
  "campaign-learner-must-vote",
  "checkquorum",
  "confchange-disable-validation",
  "confchange-v1-add-single",
  "confchange-v1-remove-leader",
  "confchange-v1-remove-leader-stepdown",
  "confchange-v2-add-double-auto",
  "confchange-v2-add-double-implicit",
  "confchange-v2-add-single-auto",
  "confchange-v2-add-single-explicit",
  "confchange-v2-replace-leader",
  "confchange-v2-replace-leader-stepdown",
  "forget-leader",
  "forget-leader-prevote-checkquorum",
  "forget-leader-read-only-lease-based",
  "heartbeat-resp-recovers-from-probing",
  "lagging-commit",
  "prevote",
  "prevote-checkquorum",
  "probe-and-replicate",
  "replicate-pause",
  "single-node",
  "slow-follower-after-compaction",
  "snapshot-succeed-via-app-resp",
  "snapshot-succeed-via-app-resp-behind",
];

describe("scenarios", () => {
  testDataFiles("scenarios", scenario);

  test("all that etcd has are there", () => {
    expect(dataFiles("scenarios")).toEqual(expect.arrayContaining(names));
  });

  test("one that promises what does not happen differs from what does", () => {
    const promise = "nodes 1\ncampaign 1\nstatus 1\n----\n1: follower in term 0\n";
    const actual = answered(promise, scenario());
    expect(actual).not.toBe(promise);
    expect(parseBlocks(actual)).toEqual([
      { commands: ["nodes 1", "campaign 1", "status 1"], expected: expect.stringContaining("1: leader in term 1") },
      "",
    ]);
  });

  test("a command that does not exist is an error, not an answer", () => {
    expect(() => answered("hope 1\n----\nok\n", scenario())).toThrow('"hope" is no command');
    expect(() => parseBlocks("campaign 1\n")).toThrow("commands without an answer");
  });
});
