import {
  type Address,
  type Attestor,
  type Genesis,
  type JoinToken,
  type NodeId,
  type StoreId,
  type Transport,
} from "@revoada/fabric";
import { decodeAnswer } from "../chain/directory.ts";
import { JoinRefusedError, JoinUnreachableError } from "../errors.ts";
import { protocols } from "../protocols.ts";
import { decodeJoinAnswer, encodeJoinRequest } from "./messages.ts";

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
  readonly signal?: AbortSignal;
}

/** What a node needs to start as a member. */
export interface Joined {
  readonly genesis: Genesis;
  /** The sealed chain that covers the admission. */
  readonly chain: Uint8Array;
  readonly peers: readonly { readonly id: NodeId; readonly addresses: readonly Address[] }[];
}

/**
 * Asks the cluster of a token to let this node in, and checks what it is shown: the genesis hashes to the token's cluster id, and
 * the chain above it is sealed and admits this node.
 *
 * Tries the voters that the token names, each at every address. Rejects with `JOIN_REFUSED` or `JOIN_UNREACHABLE`.
 */
export async function joinCluster(options: JoinOptions): Promise<Joined> {
  const { token, transport } = options;
  let cause: unknown;
  for (const voter of token.voters) {
    transport.setAddresses(voter, token.addresses);
    try {
      return await askVoter(voter, options);
    } catch (error) {
      if (error instanceof JoinRefusedError) throw error;
      cause = error;
    }
  }
  throw new JoinUnreachableError(token.addresses, cause);
}

async function askVoter(voter: NodeId, options: JoinOptions): Promise<Joined> {
  const { attestor, transport, token, storeId, generation, zone, version, addresses } = options;
  const node = attestor.identity.id;
  const stream = await transport.open(voter, protocols.join, options.signal === undefined ? {} : { signal: options.signal });
  const proof = attestor.proveToken(token, stream.channelBinding, node);
  const { clusterId, tokenId } = token;
  await stream.send(encodeJoinRequest({ clusterId, node, tokenId, proof, storeId, generation, zone, version, addresses }));
  for await (const message of stream.receive()) {
    const answer = decodeJoinAnswer(message);
    if (answer === undefined) throw new JoinRefusedError();
    const genesis = attestor.openGenesis(answer.genesis);
    const follower = attestor.follow(answer.genesis, clusterId);
    follower.advance(decodeAnswer(answer.chain));
    if (!follower.sealedFormation().nodes.has(node)) throw new JoinRefusedError("the chain that was shown does not admit this node");
    await stream.close();
    return { genesis, chain: answer.chain, peers: answer.peers };
  }
  throw new JoinRefusedError("the cluster broke off", { retryable: true });
}
