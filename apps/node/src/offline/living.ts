import type { NodeId, ReplicaId } from "@revoada/fabric";
import { systemClock, systemRandom } from "@revoada/fabric/node";
import { tlsTransport } from "@revoada/transport-tls";
import { loadPeers } from "../data-directory/peers-file.ts";
import type { StoppedNode } from "./stopped-node.ts";

/** How long a voter may take to answer the door. */
const knockTimeoutMs = 3_000;
/** The channel that everybody may knock at; nothing is said over it here. */
const door = { name: "/revoada/join/1", channel: "join" } as const;

/** Those of `nodes` that answer with their own key, where this node found them last. */
export async function livingAmong(node: StoppedNode, nodes: readonly NodeId[]): Promise<readonly NodeId[]> {
  await using transport = tlsTransport({
    privateKey: node.identity.seed,
    listen: [],
    addresses: await loadPeers(node.data.paths.peers),
    admission: (_peer, channel) => channel === "join",
    clock: systemClock(),
    random: systemRandom(),
  });
  await transport.start();
  const answers = await Promise.all(
    nodes.map(async (peer) => {
      try {
        const stream = await transport.open(peer, door, { signal: AbortSignal.timeout(knockTimeoutMs) });
        stream.abort();
        return [peer];
      } catch {
        // Nobody there, or somebody else: either way not this voter.
        return [];
      }
    }),
  );
  return answers.flat();
}

/** True where those who are there could agree, in each half of the configuration. */
export function couldAgree(
  configuration: { readonly voters: readonly ReplicaId[]; readonly outgoing?: readonly ReplicaId[] },
  there: ReadonlySet<NodeId>,
): boolean {
  const holds = (voters: readonly ReplicaId[]): boolean =>
    2 * voters.filter(({ id }) => there.has(id)).length > voters.length;
  return holds(configuration.voters) && (configuration.outgoing === undefined || holds(configuration.outgoing));
}
