import {
  type Address,
  type Attestor,
  type Duplex,
  type Genesis,
  type Hash,
  type JoinToken,
  type NodeId,
  type StoreId,
  type Transport,
} from "@revoada/fabric";
import { decodeAnswer } from "../chain/directory.ts";
import { JoinRefusedError, JoinUnreachableError } from "../errors.ts";
import { protocols } from "../protocols.ts";
import { decodeJoinAnswer, encodeJoinRequest, type JoinAnswer } from "./messages.ts";

export interface JoinOptions {
  readonly attestor: Attestor;
  /** Started, and allowed to speak to the token's voters on the join channel. */
  readonly transport: Transport;
  readonly token: JoinToken;
  readonly storeId: StoreId;
  readonly generation: number;
  readonly zone: string;
  readonly version: string;
  readonly addresses: readonly Address[];
  /** Where a voter may be, beside what the token says. Asked again at each attempt. */
  readonly addressesOf?: (voter: NodeId) => readonly Address[];
  readonly signal?: AbortSignal;
}

/** What a node needs to start as a member. */
export interface Joined {
  readonly genesis: Genesis;
  /** The declaration in force when this node was let in, canonical bytes. */
  readonly declaration: Uint8Array;
  /** The sealed chain that covers the admission. */
  readonly chain: Uint8Array;
  readonly peers: readonly { readonly id: NodeId; readonly addresses: readonly Address[] }[];
  /** The recoveries that the token says to believe, for whoever follows the chain later. */
  readonly recoveries: readonly Hash[];
}

/**
 * Asks the cluster of a token to let this node in, and checks what it is shown: the genesis hashes to the token's cluster id, and
 * the chain above it is sealed and admits this node. Of a cluster that lost its majority once it believes what the token names.
 *
 * Tries the voters that the token names, each at every address, until one lets this node in or refuses it for good. Rejects with
 * `JOIN_REFUSED`, retryable where nobody could decide at the moment, or with `JOIN_UNREACHABLE`.
 */
export async function joinCluster(options: JoinOptions): Promise<Joined> {
  const { token, transport, signal } = options;
  let cause: unknown;
  let undecided: JoinRefusedError | undefined;
  for (const voter of token.voters) {
    signal?.throwIfAborted();
    transport.setAddresses(voter, [...(options.addressesOf?.(voter) ?? []), ...token.addresses]);
    try {
      return await askVoter(voter, options);
    } catch (error) {
      if (error instanceof JoinRefusedError && !error.retryable) throw error;
      if (error instanceof JoinRefusedError) undecided = error;
      cause = error;
    }
  }
  signal?.throwIfAborted();
  throw undecided ?? new JoinUnreachableError(token.addresses, cause);
}

async function askVoter(voter: NodeId, options: JoinOptions): Promise<Joined> {
  const { transport, signal } = options;
  const stream = await transport.open(voter, protocols.join, signal === undefined ? {} : { signal });
  const giveUp = (): void => stream.abort();
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    const joined = await ask(stream, options);
    await stream.close();
    return joined;
  } catch (error) {
    stream.abort();
    throw error;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

async function ask(stream: Duplex, options: JoinOptions): Promise<Joined> {
  const { attestor, token, storeId, generation, zone, version, addresses } = options;
  const node = attestor.identity.id;
  const proof = attestor.proveToken(token, stream.channelBinding, node);
  const { clusterId, tokenId } = token;
  await stream.send(
    encodeJoinRequest({ clusterId, node, tokenId, proof, storeId, generation, zone, version, addresses }),
  );
  for await (const message of stream.receive()) {
    const answer = decodeJoinAnswer(message);
    if ("refused" in answer) throw new JoinRefusedError();
    if ("unavailable" in answer)
      throw new JoinRefusedError("the cluster cannot let this node in now", { retryable: true });
    return checkAnswer(answer, options);
  }
  throw new JoinRefusedError("the cluster broke off", { retryable: true });
}

/** What is shown must follow from the cluster id alone, and end in a formation that holds this node. */
function checkAnswer({ genesis, chain, peers }: JoinAnswer, { attestor, token }: JoinOptions): Joined {
  const recoveries = token.recoveries ?? [];
  const believes = ({ hash }: { readonly hash: Hash }): boolean => recoveries.includes(hash);
  const follower = attestor.follow(genesis, token.clusterId, { believes });
  follower.advance(decodeAnswer(chain));
  const { nodes, declared } = follower.sealedFormation();
  if (!nodes.has(attestor.identity.id)) {
    throw new JoinRefusedError("the chain that was shown does not admit this node", { retryable: true });
  }
  const opened = attestor.openGenesis(genesis);
  return { genesis: opened, declaration: declared?.declaration ?? opened.declaration, chain, peers, recoveries };
}
