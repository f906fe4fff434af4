import type { Logger } from "@revoada/fabric";
import { controlRegistry, controlServer, type ControlServer } from "@revoada/face-pure-raft";
import { registerControl, type ControlHost } from "./control.ts";

/** Opens the socket that the command line speaks to: the face's verbs, and what a node can be asked beside them. */
export async function startControl(options: {
  readonly path: string;
  readonly logger: Logger;
  readonly host: ControlHost;
}): Promise<ControlServer> {
  const { path, logger, host } = options;
  const control = controlRegistry();
  registerControl(control, host);
  // Asked anew for each call: a node that gains or loses its replica answers with another face.
  return controlServer({ path, face: () => host.cluster.face(), control, logger });
}
