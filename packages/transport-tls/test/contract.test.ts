import { realTime, transportContract } from "@revoada/fabric/contract/transport";
import { describe, test } from "vitest";
import { introduce, Nodes, realClock } from "./harness.ts";

describe("the contract of Transport", () => {
  const cases = transportContract(async () => {
    const nodes = new Nodes();
    const [left, right, stranger] = await Promise.all([nodes.start(1), nodes.start(2), nodes.start(3)]);
    introduce(left, right);
    return {
      time: realTime(realClock),
      left,
      right,
      stranger,
      [Symbol.asyncDispose]: () => nodes[Symbol.asyncDispose](),
    };
  });
  for (const { name, run } of cases) test(name, run);
});
