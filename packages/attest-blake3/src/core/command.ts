import type {
  ClusterId,
  FormationCommand,
  Generation,
  Hash,
  Identity,
  LimitedRole,
  NodeId,
  ReplicaKind,
  Role,
  SignatureVerifier,
  StoreId,
  Term,
  Transition,
  TransitionVerb,
} from "@revoada/fabric";
import { InvalidValueError, maxTransitionsPerCommand, shortId } from "@revoada/fabric";
import type { CanonicalValue } from "./canonical.ts";
import { encodeCanonical } from "./canonical.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, FieldList, openRecord } from "./fields.ts";
import { idBytes } from "./hash.ts";
import { maxCommandBytes, maxDeclarationBytes, maxReasonBytes, maxVersionBytes, maxZoneBytes } from "./limits.ts";
import {
  decodeSigned,
  encodeOperatorSignature,
  encodeSigned,
  readOperatorSignature,
  signatureLength,
} from "./signed.ts";

const roles: readonly Role[] = ["master", "worker", "observer", "arbiter", "bootstrap"];
const replicas: readonly ReplicaKind[] = ["voter", "learner", "none"];
const limitedRoles: readonly LimitedRole[] = ["worker", "observer"];
const verbs: readonly TransitionVerb[] = [
  "admit",
  "promote",
  "reassign",
  "demote",
  "settle",
  "depart",
  "evict",
  "forget",
  "remove",
  "seat",
  "cordon",
  "quarantine",
  "restore",
  "succeed",
  "inherit",
  "recover",
  "declare",
  "confirm",
  "revert",
  "enrol",
  "revoke",
];

/** Signs a command. Its proposer must be `identity`. Throws `ATTEST_NOT_CANONICAL` for values outside of the bounds. */
export function signCommand(command: FormationCommand, identity: Identity): Uint8Array {
  if (command.proposer !== identity.id) {
    throw new InvalidValueError("command.proposer", command.proposer, `the signing identity ${shortId(identity.id)}`);
  }
  if (command.version !== 1) throw new InvalidValueError("command.version", command.version, "1");
  const body = encodeCanonical([
    domainOf("command"),
    idBytes(command.clusterId, 32),
    command.baseGeneration,
    command.transitions.map(encodeTransition),
    command.reason,
    idBytes(command.decisionHash, 32),
    command.timeMs,
    idBytes(command.proposer, 32),
    command.term,
    // Only where there is one: where there are no operator keys, commands are encoded as they were before there were any.
    ...(command.approval === undefined ? [] : [encodeOperatorSignature(command.approval)]),
  ]);
  // What would be refused when read is refused before it is signed.
  readBody(body);
  return encodeSigned({ body, signature: identity.sign(body) });
}

/** What a key signs to name the one that follows it: domain, cluster and both, so that it counts nowhere else. */
function successionStatement(clusterId: ClusterId, predecessor: NodeId, successor: NodeId): Uint8Array {
  return encodeCanonical([
    domainOf("succession"),
    idBytes(clusterId, 32),
    idBytes(predecessor, 32),
    idBytes(successor, 32),
  ]);
}

/** The word of `identity` that `successor` is its next key in this cluster. */
export function signSuccession(clusterId: ClusterId, successor: NodeId, identity: Identity): Uint8Array {
  return identity.sign(successionStatement(clusterId, identity.id, successor));
}

/** Decodes a command without judging its signature: for bytes that were judged before. Throws `CHAIN_INVALID`. */
export function readCommand(bytes: Uint8Array, height = 0): FormationCommand {
  return decodingAt(height, "malformed", () =>
    readBody(decodeSigned(bytes, "command", { maxBytes: maxCommandBytes }).body),
  );
}

/**
 * Decodes a command and checks its proposer's signature, and for every key that is to succeed another the signature of that one.
 * Throws `CHAIN_INVALID`.
 */
export function openCommand(bytes: Uint8Array, verifier: SignatureVerifier, height = 0): FormationCommand {
  const { command, body, signature } = decodingAt(height, "malformed", () => {
    const signed = decodeSigned(bytes, "command", { maxBytes: maxCommandBytes });
    return { ...signed, command: readBody(signed.body) };
  });
  if (signature.length === 0) refuse("missing-signature", height, "the command is not signed");
  if (!verifier.verify(command.proposer, body, signature)) {
    refuse("bad-signature", height, `the command does not bear the signature of ${shortId(command.proposer)}`);
  }
  for (const transition of command.transitions) checkSuccession(command.clusterId, transition, verifier, height);
  return command;
}

function checkSuccession(
  clusterId: ClusterId,
  transition: Transition,
  verifier: SignatureVerifier,
  height: number,
): void {
  if (transition.verb !== "succeed") return;
  const { node, predecessor, signature } = transition;
  if (verifier.verify(predecessor, successionStatement(clusterId, predecessor, node), signature)) return;
  refuse("bad-signature", height, `${shortId(predecessor)} did not name ${shortId(node)} as its next key`);
}

function readBody(body: Uint8Array): FormationCommand {
  const fields = openRecord(body, "command", { maxBytes: maxCommandBytes });
  const command = {
    version: 1 as const,
    clusterId: fields.id<ClusterId>("clusterId", 32),
    baseGeneration: fields.counter("baseGeneration") as Generation,
    transitions: fields.list("transitions", { least: 1, most: maxTransitionsPerCommand }).map(readTransition),
    reason: fields.text("reason", maxReasonBytes),
    decisionHash: fields.id<Hash>("decisionHash", 32),
    timeMs: fields.counter("timeMs"),
    proposer: fields.id<NodeId>("proposer", 32),
    term: fields.counter("term", 1) as Term,
  };
  const signed = fields.hasMore() ? fields.list("approval", { least: 2, most: 2 }) : undefined;
  fields.finish();
  return signed === undefined ? command : { ...command, approval: readOperatorSignature(signed, "command.approval") };
}

export function encodeTransition(transition: Transition): readonly CanonicalValue[] {
  const head = [transition.verb, idBytes(transition.node, 32)];
  switch (transition.verb) {
    case "admit": {
      const { storeId, generation, incarnation, zone, version, tokenId, limitedTo } = transition.admission;
      const token = tokenId === undefined ? null : idBytes(tokenId, 16);
      // Only where there is one: commands from before there were limits are encoded as they were.
      const limits = limitedTo === undefined ? [] : [limitedTo];
      return [...head, idBytes(storeId, 16), generation, incarnation, zone, version, token, ...limits];
    }
    case "succeed":
      return [...head, idBytes(transition.predecessor, 32), transition.signature];
    case "promote":
    case "reassign":
      return [...head, transition.role, transition.replica ?? null];
    case "seat":
      return [...head, transition.replica];
    case "declare":
      return [...head, transition.declaration, transition.withinMs];
    case "demote":
    case "settle":
    case "depart":
    case "evict":
    case "forget":
    case "remove":
    case "cordon":
    case "quarantine":
    case "restore":
    case "inherit":
    case "recover":
    case "confirm":
    case "revert":
    case "enrol":
    case "revoke":
      return head;
    default:
      return unknownVerb(transition);
  }
}

/** The switch above is exhaustive for well-typed input; callers in plain JavaScript may still pass anything. */
function unknownVerb(transition: never): never {
  throw new InvalidValueError("transition.verb", (transition as { verb?: unknown }).verb, `one of ${verbs.join(", ")}`);
}

export function readTransition(value: CanonicalValue, index: number): Transition {
  const fields = new FieldList(value, `command.transitions[${index}]`);
  const verb = fields.oneOf("verb", verbs);
  const node = fields.id<NodeId>("node", 32);
  const transition = readDetails(verb, node, fields);
  fields.finish();
  return transition;
}

function readDetails(verb: TransitionVerb, node: NodeId, fields: FieldList): Transition {
  switch (verb) {
    case "admit":
      return readAdmission(node, fields);
    case "promote":
    case "reassign": {
      const role = fields.oneOf("role", roles);
      const replica = fields.optionalOneOf("replica", replicas);
      return { verb, node, role, ...(replica === undefined ? {} : { replica }) };
    }
    case "seat":
      return { verb, node, replica: fields.oneOf("replica", replicas) };
    case "declare": {
      const declaration = fields.bytes("declaration", { least: 1, most: maxDeclarationBytes });
      return { verb, node, declaration, withinMs: fields.counter("withinMs", 1) };
    }
    case "succeed": {
      const predecessor = fields.id<NodeId>("predecessor", 32);
      const signature = fields.bytes("signature", { least: signatureLength, most: signatureLength });
      return { verb, node, predecessor, signature };
    }
    case "demote":
    case "settle":
    case "depart":
    case "evict":
    case "forget":
    case "remove":
    case "cordon":
    case "quarantine":
    case "restore":
    case "inherit":
    case "recover":
    case "confirm":
    case "revert":
    case "enrol":
    case "revoke":
      return { verb, node };
  }
}

function readAdmission(node: NodeId, fields: FieldList): Transition {
  const admission = {
    storeId: fields.id<StoreId>("storeId", 16),
    generation: fields.counter("generation"),
    incarnation: fields.counter("incarnation"),
    zone: fields.text("zone", maxZoneBytes),
    version: fields.text("version", maxVersionBytes),
  };
  const tokenId = fields.optionalId<string>("tokenId", 16);
  const limitedTo = fields.hasMore() ? fields.oneOf("limitedTo", limitedRoles) : undefined;
  return {
    verb: "admit",
    node,
    admission: {
      ...admission,
      ...(tokenId === undefined ? {} : { tokenId }),
      ...(limitedTo === undefined ? {} : { limitedTo }),
    },
  };
}

/**
 * Whether a transition makes a node what it is. A switch of the declaration names whom the word was given at, or who found that the shape
 * stands, and shifts nobody; a recovery concerns everybody.
 */
export function shiftsNode(transition: Transition, node: NodeId): boolean {
  switch (transition.verb) {
    case "declare":
    case "confirm":
    case "revert":
      return false;
    case "recover":
      return true;
    default:
      return transition.node === node;
  }
}
