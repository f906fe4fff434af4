import type { Logger, Member, Membership, NodeId, Transport } from "@revoada/fabric";

export interface ReturnsOptions {
  readonly membership: Pick<Membership, "changes">;
  readonly transport: Pick<Transport, "redial">;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Tells the transport of every member that lives again, or lives anew, until the signal aborts: what it lost is dialled at once instead of
 * after a pause, or when somebody next has something to say. Those who are seen for the first time have lost nothing.
 */
export async function redialReturned({ membership, transport, logger, signal }: ReturnsOptions): Promise<void> {
  const seen = new Map<NodeId, Pick<Member, "status" | "generation">>();
  const note = ({ id, status, generation }: Member): void => {
    const before = seen.get(id);
    seen.set(id, { status, generation });
    if (status !== "alive" || before === undefined) return;
    if (before.status !== "alive" || before.generation !== generation) transport.redial(id);
  };
  try {
    for await (const change of membership.changes({ signal })) {
      if (change.type === "changed") note(change.member);
      else if (change.type === "forgotten") seen.delete(change.id);
      else {
        const { members } = change.view;
        for (const id of seen.keys()) if (!members.has(id)) seen.delete(id);
        for (const member of members.values()) note(member);
      }
    }
  } catch (error) {
    if (!signal.aborted) logger.warn("members that return are no longer dialled at once", { error: String(error) });
  }
}
