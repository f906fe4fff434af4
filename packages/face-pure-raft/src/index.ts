/**
 * The native face of Revoada and its client, in-process, over the transport and over a local socket.
 *
 * @packageDocumentation
 */
export {
  CarriedError,
  FaceBusyError,
  FaceConflictError,
  FaceDuplicateResourceError,
  FaceInternalError,
  FaceInvalidPageTokenError,
  FaceNewerFormatError,
  FaceNoReplicaError,
  FaceNotRunningError,
  FaceProtocolError,
  FaceResourceNotFoundError,
  FaceStoredInvalidError,
  OutcomeUnknownError,
} from "./errors.ts";
export { pureRaftFace, type PureRaftFaceOptions } from "./face.ts";
export { controlClient, type ControlClient, type ControlClientOptions } from "./control/client.ts";
export type { CallOptions } from "./control/connection.ts";
export {
  ControlBusyError,
  ControlClosedError,
  ControlDuplicateMethodError,
  ControlInternalError,
  ControlInUseError,
  ControlPathTooLongError,
  ControlPathUnusableError,
  ControlProtocolError,
  ControlStreamingMethodError,
  ControlTimeoutError,
  ControlTooLargeError,
  ControlUnknownMethodError,
  ControlUnreachableError,
} from "./control/errors.ts";
export { controlRegistry, type ControlRegistry } from "./control/registry.ts";
export { controlServer, type ControlServer, type ControlServerOptions } from "./control/server.ts";
export { maxSocketPathBytes } from "./control/socket-path.ts";
export { faceProtocol } from "./peers/messages.ts";
export { remoteFace, type RemoteFaceOptions } from "./peers/remote-face.ts";
export { serveFace, type ServeFaceOptions } from "./peers/serve-face.ts";
export type { FaceVerbs } from "./wire/verbs.ts";
