import type { ClusterId, Genesis, GenesisInput, Identity, NodeId, SignatureVerifier, StoreId } from "@revoada/fabric";
import { copyBytes, encodeCanonical } from "./canonical.ts";
import { maxOperators } from "@revoada/fabric";
import { NotCanonicalError } from "../errors.ts";
import { decodingAt, refuse } from "./faults.ts";
import { domainOf, idList, openRecord } from "./fields.ts";
import { hashOf, idBytes } from "./hash.ts";
import { maxDeclarationBytes, maxGenesisBytes, maxVersionBytes, maxZoneBytes } from "./limits.ts";
import { decodeSigned, encodeSigned } from "./signed.ts";

/** Signs a genesis. Throws `ATTEST_NOT_CANONICAL` for values outside of its bounds. */
export function createGenesis(input: GenesisInput, founder: Identity): Genesis {
  const body = encodeCanonical([
    domainOf("genesis"),
    idBytes(founder.id, 32),
    input.nonce,
    input.createdMs,
    input.declaration,
    idBytes(input.storeId, 16),
    input.zone,
    input.version,
    input.operators.map((operator) => idBytes(operator, 32)),
  ]);
  // What would be refused when read is refused before it is signed.
  const fields = readBody(body);
  const bytes = encodeSigned({ body, signature: founder.sign(body) });
  return { ...fields, clusterId: hashOf(bytes) as string as ClusterId, bytes };
}

/** Decodes a genesis and checks its founder's signature. Throws `CHAIN_INVALID`. */
export function openGenesis(bytes: Uint8Array, verifier: SignatureVerifier): Genesis {
  const own = copyBytes(bytes);
  const { fields, body, signature } = decodingAt(0, "bad-genesis", () => {
    const signed = decodeSigned(own, "genesis", { maxBytes: maxGenesisBytes });
    return { ...signed, fields: readBody(signed.body) };
  });
  if (!verifier.verify(fields.founder, body, signature)) refuse("bad-genesis", 0, "its founder's signature is wrong");
  return { ...fields, clusterId: hashOf(own) as string as ClusterId, bytes: own };
}

function readBody(body: Uint8Array): GenesisInput & { readonly founder: NodeId } {
  const fields = openRecord(body, "genesis", { maxBytes: maxGenesisBytes });
  const genesis = {
    founder: fields.id<NodeId>("founder", 32),
    nonce: fields.bytes("nonce", { least: 32, most: 32 }),
    createdMs: fields.counter("createdMs"),
    declaration: fields.bytes("declaration", { least: 0, most: maxDeclarationBytes }),
    storeId: fields.id<StoreId>("storeId", 16),
    zone: fields.text("zone", maxZoneBytes),
    version: fields.text("version", maxVersionBytes),
    operators: idList<NodeId>(fields.list("operators", { least: 0, most: maxOperators }), 32, "genesis.operators"),
  };
  fields.finish();
  if (genesis.operators.includes(genesis.founder))
    throw new NotCanonicalError("genesis.operators: the founder's own key is among them");
  return genesis;
}
