import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { bytesOf, decodeMessage, encodeMessage, integerOf, type Fields } from "./protobuf.ts";

/** What a member says of itself. */
export interface EtcdStatus {
  readonly memberId: bigint;
  readonly leaderId: bigint;
  readonly version: string;
}

const callTimeoutMs = 30_000;

/** As much of etcd's v3 API as is measured: `Put`, `Range` and `Status`, by the field numbers of its `rpc.proto`. */
export class EtcdClient implements Disposable {
  readonly #client: Client;
  readonly #metadata = new Metadata();

  /** `address` is a host and a port. */
  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), {
      // A member that was killed comes back soon.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 200,
      // Each client has a connection of its own.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** Resolves once the write is committed. */
  async put(key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#call("/etcdserverpb.KV/Put", [
      [1, key],
      [2, value],
    ]);
  }

  /** Reads one key, linearizably, as is etcd's default. */
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const answer = await this.#call("/etcdserverpb.KV/Range", [[1, key]]);
    const pair = bytesOf(answer, 2);
    return pair.length === 0 ? undefined : bytesOf(decodeMessage(pair), 5);
  }

  async status(): Promise<EtcdStatus> {
    const answer = await this.#call("/etcdserverpb.Maintenance/Status", []);
    return {
      memberId: integerOf(decodeMessage(bytesOf(answer, 1)), 2),
      leaderId: integerOf(answer, 4),
      version: new TextDecoder().decode(bytesOf(answer, 2)),
    };
  }

  #call(path: string, request: Parameters<typeof encodeMessage>[0]): Promise<Fields> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => decodeMessage(bytes),
        encodeMessage(request),
        this.#metadata,
        { deadline: Date.now() + callTimeoutMs },
        (error, answer) => {
          if (error !== null) reject(error);
          else resolve(answer as Fields);
        },
      );
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
