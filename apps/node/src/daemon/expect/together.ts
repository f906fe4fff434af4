import type { Attestor, Genesis, JoinToken } from "@revoada/fabric";
import type { NodeConfig } from "../../config/config.ts";
import type { DataDirectory } from "../../data-directory/data-directory.ts";
import { ExpectTimeoutError } from "../../errors.ts";
import { readBounded } from "../../files.ts";
import { agreeOnGenesis, answerFounder, type ExpectSurroundings } from "./protocol.ts";
import { parseExpectedNodes, type Expectation, type ExpectedNode } from "./expectation.ts";
import { decodeExpectRecord, encodeExpectRecord } from "./record.ts";

/** What was asked of a node that founds together with others, before its own key is known. */
export interface AskedExpectation {
  readonly count: number;
  readonly nodes: readonly ExpectedNode[];
  readonly secret: Uint8Array;
}

const maxPeersFileBytes = 64 * 1024;
const maxSecretFileBytes = 4096;
/** Machines of one image may boot minutes apart. A supervisor that starts the node again goes on where it was. */
export const expectTimeoutMs: number = 10 * 60_000;

/** Reads what `--bootstrap-expect` is told. Undefined where it was not. */
export async function readExpectation(config: NodeConfig): Promise<AskedExpectation | undefined> {
  const { bootstrapExpect, expectPeers, expectSecret } = config;
  if (bootstrapExpect === undefined || expectPeers === undefined || expectSecret === undefined) return undefined;
  const text = Buffer.from(await readBounded(expectPeers, maxPeersFileBytes)).toString("utf8");
  const secret = Buffer.from(await readBounded(expectSecret, maxSecretFileBytes))
    .toString("latin1")
    .trim();
  return {
    count: bootstrapExpect,
    nodes: parseExpectedNodes(text, expectPeers),
    secret: Buffer.from(secret, "latin1"),
  };
}

/** The token that all nodes of an expectation can make for the cluster that they found. */
export function expectedToken(attestor: Attestor, expectation: Expectation, genesis: Genesis): JoinToken {
  const founder = expectation.nodes.find(({ id }) => id === expectation.founder);
  return attestor.createToken({
    clusterId: genesis.clusterId,
    addresses: founder?.addresses ?? [],
    voters: [expectation.founder],
    expiresMs: 0,
    uses: 1,
    random: expectation.tokenMaterial(),
  }).token;
}

/** The founder's part: one genesis, remembered before it is shown, promised by everybody before it counts. */
export async function proposeGenesis(
  around: ExpectSurroundings,
  data: DataDirectory,
  create: () => Genesis,
): Promise<Genesis> {
  const remembered = await data.readExpect();
  const { attestor } = around;
  const genesis =
    remembered === undefined ? create() : attestor.openGenesis(decodeExpectRecord(remembered, data.paths.expect));
  if (remembered === undefined) await data.writeExpect(encodeExpectRecord(genesis.bytes));
  await agreeOnGenesis(around, genesis, expectTimeoutMs);
  return genesis;
}

/** A follower's part: waits until the founder has shown a genesis and this node has promised to follow it. */
export async function awaitGenesis(around: ExpectSurroundings, data: DataDirectory): Promise<Genesis> {
  const { attestor, clock, expectation, logger, signal } = around;
  const remembered = await data.readExpect();
  let promised = remembered === undefined ? undefined : decodeExpectRecord(remembered, data.paths.expect);
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  answerFounder(around, {
    promised: () => promised,
    async promise(genesis) {
      if (promised === undefined) await data.writeExpect(encodeExpectRecord(genesis));
      promised = genesis;
      resolve(genesis);
    },
  });
  await around.transport.start();
  if (promised !== undefined) resolve(promised);
  else logger.info("waiting for the founder", { founder: expectation.founder });
  const cancel = clock.schedule(expectTimeoutMs, () =>
    reject(new ExpectTimeoutError([expectation.founder], expectTimeoutMs)),
  );
  const giveUp = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    signal.throwIfAborted();
    return attestor.openGenesis(await promise);
  } finally {
    cancel();
    signal.removeEventListener("abort", giveUp);
  }
}

/** Goes on saying, once the node has its cluster, which one that is. */
export function answerAsMember(around: ExpectSurroundings, genesis: Uint8Array): void {
  answerFounder(around, { promised: () => genesis, promise: async () => undefined });
}
