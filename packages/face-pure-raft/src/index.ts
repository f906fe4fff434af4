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
