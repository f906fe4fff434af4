import { type NodeId, silentLogger } from "@revoada/fabric";
import { faceContract, realTime } from "@revoada/fabric/contract/face";
import { memoryNetwork } from "@revoada/fabric/memory";
import { systemClock } from "@revoada/fabric/node";
import { remoteFace, serveFace } from "@revoada/face-pure-raft";
import { defaultFormats, formatRegistry, jsonFormat, nativeFormat, yamlFormat } from "@revoada/format";
import { describe, test } from "vitest";
import { faceFixture } from "./support/contract.ts";
import { makeFace, rawFace } from "./support/fixtures.ts";

const time = realTime(systemClock());

describe("in this process, YAML first", () => {
  for (const { name, run } of faceContract(async () => faceFixture({ time, ...makeFace() }))) test(name, run);
});

describe("in this process, native first", () => {
  const formats = formatRegistry([nativeFormat(), jsonFormat(), yamlFormat()]);
  const create = async (): Promise<ReturnType<typeof faceFixture>> =>
    faceFixture({ time, native: true, ...makeFace({}, { formats }) });
  for (const { name, run } of faceContract(create)) test(name, run);
});

describe("at a node that holds no replica", () => {
  const [replica, edge] = ["a".repeat(64), "b".repeat(64)] as [NodeId, NodeId];
  const create = async (): Promise<ReturnType<typeof faceFixture>> => {
    const { face: served, catalog } = makeFace({}, { formats: defaultFormats(), logger: silentLogger, face: rawFace });
    const network = memoryNetwork({ clock: systemClock() });
    const [near, far] = [network.transport(edge), network.transport(replica)];
    await Promise.all([near.start(), far.start(), served.start()]);
    serveFace({ transport: far, face: served });
    const face = remoteFace({ transport: near, replicas: () => [replica] });
    const dispose = async (): Promise<void> => {
      await Promise.all([near.shutdown(), far.shutdown(), served.shutdown()]);
    };
    return faceFixture({ time, face, catalog, dispose });
  };
  for (const { name, run } of faceContract(create)) test(name, run);
});
