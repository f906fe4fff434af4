/** What every kind of face may promise. */
interface FacePromise {
  /** True where users of the face rely on operator signatures under every seal. */
  readonly requiresOperatorSignature?: boolean;
}

/** Which API a face speaks. Third parties use a protocol that starts with `x-` and any further plain fields. */
export type FaceKind =
  | ({ readonly protocol: "kubernetes"; readonly version: string; readonly certifiedCncf: boolean } & FacePromise)
  | ({ readonly protocol: "nomad"; readonly version: string } & FacePromise)
  | ({ readonly protocol: "systemd"; readonly userUnits: boolean } & FacePromise)
  | ({ readonly protocol: "pure-raft" } & FacePromise)
  | ({ readonly protocol: "bare-metal-supervisor" } & FacePromise)
  | ({ readonly protocol: "etcd"; readonly version: string } & FacePromise)
  | ({ readonly protocol: `x-${string}`; readonly [field: string]: unknown } & FacePromise);

/** *Which* API a cluster speaks. */
export interface FabricFace {
  readonly name: string;
  readonly kind: FaceKind;
}
