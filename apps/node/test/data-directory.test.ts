import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterId, NodeId, StoreId } from "@revoada/fabric";
import { describe, expect, test } from "vitest";
import { DataDirectory, dataPaths, findSocket } from "../src/data-directory/data-directory.ts";
import { decodeNodeFile, encodeNodeFile, type NodeFile } from "../src/data-directory/node-file.ts";
import { decodePeers, encodePeers } from "../src/data-directory/peers-file.ts";
import { temporaryDirectory } from "./helpers.ts";

const file: NodeFile = {
  node: "a1".repeat(32) as NodeId,
  cluster: "b2".repeat(32) as ClusterId,
  store: "c3".repeat(16) as StoreId,
  generation: 1_700_000_000,
  genesis: new Uint8Array([1, 2, 3]),
  chain: new Uint8Array([4, 5]),
  listen: "127.0.0.1:7400",
};

const golden = readFileSync(new URL("testdata/node-1.hex", import.meta.url), "utf8").replaceAll(/\s/g, "");

describe("a node file", () => {
  test("of format 1 is these bytes for ever", () => {
    expect(Buffer.from(encodeNodeFile(file)).toString("hex")).toBe(golden);
    expect(decodeNodeFile(Buffer.from(golden, "hex"), "node.rvd")).toEqual(file);
  });

  test("comes back as it was written, with and without what may be missing", () => {
    const { chain: _chain, listen: _listen, ...least } = file;
    expect(decodeNodeFile(encodeNodeFile(least), "node.rvd")).toEqual(least);
    const most = { ...file, declaration: new Uint8Array([6]), zone: "eu-1", left: true };
    expect(decodeNodeFile(encodeNodeFile(most), "node.rvd")).toEqual(most);
  });

  test("with any byte changed, cut or added is refused by name", () => {
    const bytes = encodeNodeFile(file);
    for (let position = 0; position < bytes.length; position += 1) {
      const damaged = Uint8Array.from(bytes);
      damaged[position] = (damaged[position] ?? 0) ^ 0x40;
      expect(() => decodeNodeFile(damaged, "node.rvd")).toThrow(/^node\.rvd (cannot be believed|has format)/);
      expect(() => decodeNodeFile(bytes.subarray(0, position), "node.rvd")).toThrow(/cannot be believed/);
    }
    expect(() => decodeNodeFile(Buffer.concat([bytes, Buffer.alloc(1)]), "node.rvd")).toThrow(/cannot be believed/);
  });

  test("of a later format says so", () => {
    const bytes = Buffer.from(encodeNodeFile(file));
    bytes.writeUInt16BE(2, 8);
    expect(() => decodeNodeFile(bytes, "node.rvd")).toThrow(
      expect.objectContaining({
        code: "NODE_NEWER_FORMAT",
        message: "node.rvd has format 2, this release knows formats up to 1",
      }),
    );
  });
});

describe("a peers file", () => {
  test("comes back as it was written", () => {
    const peers = new Map([[file.node, ["127.0.0.1:1", "[::1]:2"]]]);
    expect(decodePeers(encodePeers(peers))).toEqual(peers);
  });

  test("that cannot be understood is nobody, and of one that can in part that part is taken", () => {
    expect(decodePeers("{").size).toBe(0);
    expect(decodePeers("null").size).toBe(0);
    expect(decodePeers('{"version":2,"peers":{}}').size).toBe(0);
    const text = JSON.stringify({
      version: 1,
      peers: { [file.node]: ["a:1", 7], nobody: ["b:2"], [file.cluster]: "c" },
    });
    expect([...decodePeers(text)]).toEqual([[file.node, ["a:1"]]]);
  });
});

describe("a data directory", () => {
  test("is made for its owner alone, also where it was open to others", async () => {
    const directory = join(temporaryDirectory(), "data");
    const data = await DataDirectory.open(directory);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await data[Symbol.asyncDispose]();
    chmodSync(directory, 0o755);
    await (await DataDirectory.open(directory))[Symbol.asyncDispose]();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  test("is held by one at a time", async () => {
    const directory = temporaryDirectory();
    const first = await DataDirectory.open(directory);
    await expect(DataDirectory.open(directory)).rejects.toMatchObject({
      code: "DISK_LOCKED",
      message: expect.stringContaining(String(process.pid)),
    });
    await first[Symbol.asyncDispose]();
    await (await DataDirectory.open(directory))[Symbol.asyncDispose]();
  });

  test("keeps the node file and the join token from others", async () => {
    const directory = temporaryDirectory();
    const data = await DataDirectory.open(directory);
    expect(await data.readNode()).toBeUndefined();
    await data.writeNode(file);
    await data.writeJoinToken("rvd1secret");
    expect(await data.readNode()).toEqual(file);
    const { node, joinToken } = dataPaths(directory);
    expect([node, joinToken].map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600]);
    await data[Symbol.asyncDispose]();
  });

  test("is not made of a directory that holds other things, nor of a file", async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "thesis.txt"), "");
    await expect(DataDirectory.open(directory)).rejects.toMatchObject({ code: "NODE_FOREIGN_DIRECTORY" });
    await expect(DataDirectory.open(join(directory, "thesis.txt"))).rejects.toMatchObject({
      code: "NODE_DATA_UNAVAILABLE",
    });
    expect(readFileSync(join(directory, "thesis.txt"), "utf8")).toBe("");
  });

  test("with a path too long for a socket has its socket in a private place, and a record of it", async () => {
    const directory = join(temporaryDirectory(), "d".repeat(120));
    mkdirSync(directory);
    const data = await DataDirectory.open(directory);
    const socket = await data.chooseSocket();
    expect(socket.length).toBeLessThan(100);
    expect(await findSocket(directory)).toBe(socket);
    expect(statSync(join(socket, "..")).mode & 0o777).toBe(0o700);
    await data[Symbol.asyncDispose]();
    expect(await findSocket(directory)).toBe(join(directory, "control.sock"));
  });
});
