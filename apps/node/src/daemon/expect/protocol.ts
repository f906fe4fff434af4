import {
  isFabricError,
  shortId,
  type Address,
  type Attestor,
  type Clock,
  type Duplex,
  type Genesis,
  type Logger,
  type NodeId,
  type Protocol,
  type Transport,
} from "@revoada/fabric";
import { ExpectRefusedError, ExpectTimeoutError } from "../../errors.ts";
import type { Expectation } from "./expectation.ts";

/** Founder → each other node of an expectation: this is our genesis. On the channel that strangers may speak on. */
const expectProtocol: Protocol = { name: "/revoada/expect/1", channel: "join" };

/** One conversation of one question and one answer may take this long. */
const conversationMs = 10_000;
/** How long to wait before a node that was not there is asked again, and how often to say who is waited for. */
const retryMs = 500;
const tellEveryMs = 10_000;

export interface ExpectSurroundings {
  readonly expectation: Expectation;
  readonly attestor: Attestor;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Where a node may be, beside what was written down. */
  readonly addressesOf: (id: NodeId) => readonly Address[];
}

/** What a node has promised before, and how it promises. A promise is durable before it is given. */
export interface Promises {
  /** The genesis that this node has promised to follow, or follows already; undefined where there is none. */
  promised(): Uint8Array | undefined;
  promise(genesis: Uint8Array): Promise<void>;
}

/**
 * Answers the founder: a follower promises one genesis, once and for all, and says no to every other. What is not of the founder,
 * with the keys and the secret of this node, gets no answer; the log says what it was. Returns how to stop answering.
 */
export function answerFounder(around: ExpectSurroundings, promises: Promises): () => void {
  const { transport, logger } = around;
  // One at a time: two questions at once could both find nothing promised.
  let turn: Promise<void> = Promise.resolve();
  return transport.handle(expectProtocol, {
    onStream: (stream) => {
      turn = turn
        .then(() => converse(around, stream, async (word) => followerAnswer(around, promises, stream, word)))
        .catch((error: unknown) => {
          logger.warn("a founder was not answered", { peer: stream.peer, error: String(error) });
          stream.abort();
        });
      return turn;
    },
  });
}

async function followerAnswer(
  { expectation, attestor, logger }: ExpectSurroundings,
  promises: Promises,
  stream: Duplex,
  word: Uint8Array,
): Promise<Uint8Array> {
  const refuse = (why: string): never => {
    throw new ExpectRefusedError(stream.peer, why);
  };
  const fields = expectation.open("founder", stream.channelBinding, word);
  if (fields === undefined) return refuse("it holds another secret or other keys");
  if (stream.peer !== expectation.founder) return refuse(`the founder is ${shortId(expectation.founder)}`);
  const genesis = fields.take("genesis");
  if (!(genesis instanceof Uint8Array)) return refuse("it showed no genesis");
  const opened = attestor.openGenesis(genesis);
  if (opened.founder !== stream.peer) return refuse("it showed somebody else's genesis");
  const before = promises.promised();
  const accepted = before === undefined || Buffer.compare(before, genesis) === 0;
  if (accepted) await promises.promise(genesis);
  logger.info(
    accepted ? "the founder's genesis is accepted" : "the founder shows another genesis than before: refused",
    {
      founder: shortId(stream.peer),
      cluster: shortId(opened.clusterId),
    },
  );
  return expectation.seal("follower", stream.channelBinding, { accepted });
}

/** Takes one word and gives one back. */
async function converse(
  { clock }: ExpectSurroundings,
  stream: Duplex,
  answer: (word: Uint8Array) => Promise<Uint8Array>,
): Promise<void> {
  const cancel = clock.schedule(conversationMs, () => stream.abort());
  try {
    for await (const word of stream.receive()) {
      await stream.send(await answer(word));
      break;
    }
    await stream.close();
  } finally {
    cancel();
  }
}

/**
 * Has every other node promise this genesis. Resolves once all have; waits for those that are not there yet, until `timeoutMs` is
 * over. Rejects with `NODE_EXPECT_REFUSED` where one of them has promised, or follows, another, and with `NODE_EXPECT_TIMEOUT`.
 */
export async function agreeOnGenesis(around: ExpectSurroundings, genesis: Genesis, timeoutMs: number): Promise<void> {
  const { expectation, clock, logger, signal } = around;
  const waiting = new Set<NodeId>(expectation.others.map(({ id }) => id));
  const controller = new AbortController();
  const deadline = clock.schedule(timeoutMs, () => controller.abort(new ExpectTimeoutError([...waiting], timeoutMs)));
  const tell = (): void => {
    logger.info("waiting for the other nodes", { nodes: [...waiting].map(shortId) });
    cancelTell = clock.schedule(tellEveryMs, tell);
  };
  let cancelTell = clock.schedule(tellEveryMs, tell);
  const both = AbortSignal.any([signal, controller.signal]);
  try {
    await Promise.all(
      expectation.others.map(async ({ id, addresses }) => {
        around.transport.setAddresses(id, [...around.addressesOf(id), ...addresses]);
        await askUntilAnswered({ ...around, signal: both }, id, genesis.bytes);
        waiting.delete(id);
        logger.info("a node agrees", { node: shortId(id), missing: waiting.size });
      }),
    );
  } finally {
    deadline();
    cancelTell();
    controller.abort();
  }
}

async function askUntilAnswered(around: ExpectSurroundings, id: NodeId, genesis: Uint8Array): Promise<void> {
  const { clock, logger, signal } = around;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await ask(around, id, genesis);
    } catch (error) {
      if (error instanceof ExpectRefusedError) throw error;
      // It runs, and does not take part: it has its cluster.
      if (isFabricError(error, "TRANSPORT_UNSUPPORTED"))
        throw new ExpectRefusedError(id, "it runs without --bootstrap-expect");
      signal.throwIfAborted();
      logger.debug("a node was not reached", { node: shortId(id), error: String(error) });
    }
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = clock.schedule(retryMs, done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

async function ask(
  { expectation, transport, clock, signal }: ExpectSurroundings,
  id: NodeId,
  genesis: Uint8Array,
): Promise<void> {
  const stream = await transport.open(id, expectProtocol, { signal });
  const giveUp = (): void => stream.abort();
  signal.addEventListener("abort", giveUp, { once: true });
  const cancel = clock.schedule(conversationMs, giveUp);
  try {
    await stream.send(expectation.seal("founder", stream.channelBinding, { genesis }));
    for await (const word of stream.receive()) {
      const fields = expectation.open("follower", stream.channelBinding, word);
      if (fields === undefined) throw new ExpectRefusedError(id, "it holds another secret or other keys");
      if (fields.take("accepted") !== true)
        throw new ExpectRefusedError(id, "it has promised, or belongs to, another cluster");
      return;
    }
    // Whoever holds another secret or other keys says nothing.
    throw new ExpectRefusedError(id, "it does not answer to this secret and these keys");
  } finally {
    cancel();
    signal.removeEventListener("abort", giveUp);
    stream.abort();
  }
}
