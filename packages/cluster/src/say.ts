import { isFabricError, type Membership } from "@revoada/fabric";

/**
 * Says something of this node in gossip, where that is news. Nothing depends on it, and a node that has left says nothing more: whoever
 * still winds up there goes on.
 */
export function say(membership: Pick<Membership, "view" | "set">, key: string, value: string): void {
  const { self, members } = membership.view();
  if ((members.get(self)?.keys.get(key) ?? "") === value) return;
  try {
    membership.set(key, value);
  } catch (error) {
    if (!isFabricError(error, "MEMBERSHIP_STOPPED")) throw error;
  }
}
