import { decodeCanonical, encodeCanonical } from "@revoada/attest-blake3";
import {
  FieldReader,
  InvalidValueError,
  isFabricError,
  parseClusterId,
  parseHash,
  parseNodeId,
  parseStoreId,
  type ClusterId,
  type Hash,
  type NodeId,
  type StoreId,
} from "@revoada/fabric";
import { NodeFileCorruptError } from "../errors.ts";
import { maxBodyBytes, openFile, sealFile, type FileFormat } from "./sealed-file.ts";

/** What a node must know of itself before it can speak to anybody. */
export interface NodeFile {
  readonly node: NodeId;
  readonly cluster: ClusterId;
  /** The store that this node votes from. */
  readonly store: StoreId;
  /** Counts this node's starts; see the gossip layer. */
  readonly generation: number;
  /** The exact signed bytes. */
  readonly genesis: Uint8Array;
  /** The declaration that this node went by last; absent where it was never another than that of genesis. */
  readonly declaration?: Uint8Array;
  /** The sealed chain that came with this node's admission; absent for the founder. */
  readonly chain?: Uint8Array;
  /** The recoveries of its cluster that this node's token said to believe; absent where there were none. */
  readonly recoveries?: readonly Hash[];
  /** Where it listened last, with the real port. */
  readonly listen?: string;
  /** Where it stands, as it was told last. */
  readonly zone?: string;
  /** True once it gave its place up: it cannot come back from this directory. */
  readonly left?: boolean;
}

const format: FileFormat = { magic: Buffer.from("RVDNODE\0", "latin1"), version: 1 };

/** The bytes of a node file. */
export function encodeNodeFile(file: NodeFile): Uint8Array {
  const { node, cluster, store, generation, genesis, declaration, chain, recoveries, listen, zone, left } = file;
  const body = encodeCanonical({
    node,
    cluster,
    store,
    generation,
    genesis,
    ...(declaration === undefined ? {} : { declaration }),
    ...(chain === undefined ? {} : { chain }),
    ...(recoveries === undefined || recoveries.length === 0 ? {} : { recoveries: [...recoveries] }),
    ...(listen === undefined ? {} : { listen }),
    ...(zone === undefined ? {} : { zone }),
    ...(left === true ? { left } : {}),
  });
  return sealFile(format, body);
}

/** Reads a node file. Throws `NODE_NEWER_FORMAT` or `NODE_FILE_CORRUPT`; `path` is for the message. */
export function decodeNodeFile(bytes: Uint8Array, path: string): NodeFile {
  return readBody(openFile(format, bytes, path), path);
}

function readBody(body: Uint8Array, path: string): NodeFile {
  try {
    const fields = new FieldReader(decodeCanonical(new Uint8Array(body), { maxBytes: maxBodyBytes }), "node");
    const [genesis, chain, listen] = [fields.take("genesis"), fields.take("chain"), fields.take("listen")];
    const [zone, declaration] = [fields.take("zone"), fields.take("declaration")];
    if (zone !== undefined && typeof zone !== "string") throw new InvalidValueError("node.zone", zone, "a name");
    const told = fields.take("recoveries");
    if (told !== undefined && !Array.isArray(told)) throw new InvalidValueError("node.recoveries", told, "a list");
    const recoveries = (told as readonly unknown[] | undefined)?.map((hash) => parseHash(hash, "node.recoveries"));
    const left = fields.boolean("left", false);
    const generation = fields.number("generation");
    if (!Number.isSafeInteger(generation) || generation < 0)
      throw new InvalidValueError("node.generation", generation, "a count");
    if (!(genesis instanceof Uint8Array)) throw new InvalidValueError("node.genesis", genesis, "bytes");
    if (declaration !== undefined && !(declaration instanceof Uint8Array))
      throw new InvalidValueError("node.declaration", declaration, "bytes");
    if (chain !== undefined && !(chain instanceof Uint8Array))
      throw new InvalidValueError("node.chain", chain, "bytes");
    if (listen !== undefined && typeof listen !== "string")
      throw new InvalidValueError("node.listen", listen, "an address");
    const file: NodeFile = {
      node: parseNodeId(fields.take("node"), "node.node"),
      cluster: parseClusterId(fields.take("cluster"), "node.cluster"),
      store: parseStoreId(fields.take("store"), "node.store"),
      generation,
      genesis,
      ...(declaration === undefined ? {} : { declaration }),
      ...(chain === undefined ? {} : { chain }),
      ...(recoveries === undefined ? {} : { recoveries }),
      ...(listen === undefined ? {} : { listen }),
      ...(zone === undefined ? {} : { zone }),
      ...(left ? { left } : {}),
    };
    fields.finish();
    return file;
  } catch (error) {
    if (isFabricError(error)) throw new NodeFileCorruptError(path, error.message);
    throw error;
  }
}
