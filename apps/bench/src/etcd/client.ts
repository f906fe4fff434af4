import { connect, constants, type ClientHttp2Session } from "node:http2";
import { bytesOf, decodeMessage, encodeMessage, integerOf, type Fields } from "./protobuf.ts";

/** What a member says of itself. */
export interface EtcdStatus {
  readonly memberId: bigint;
  readonly leaderId: bigint;
  readonly version: string;
}

const callTimeoutMs = 30_000;
/** What a connection may be sent before it has acknowledged: no answer waits for it. */
const windowBytes = 4 * 2 ** 20;
/** A message is led by a byte that says whether it is compressed, and by its length. */
const prefixBytes = 5;

/** Bytes in the frame of gRPC: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. */
function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.alloc(prefixBytes + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

function messageIn(frame: Buffer): Fields {
  if (frame.length < prefixBytes || frame[0] !== 0 || frame.readUInt32BE(1) !== frame.length - prefixBytes)
    throw new Error(`an answer of ${frame.length} bytes is not one message`);
  return decodeMessage(frame.subarray(prefixBytes));
}

/**
 * As much of etcd's v3 API as is measured: `Put`, `Range` and `Status`, by the field numbers of its `rpc.proto`. Calls go over HTTP/2
 * itself, because the common client for gRPC takes more than twice the CPU time for each, and takes it from the members beside it.
 */
export class EtcdClient implements Disposable {
  readonly #address: string;
  /** Of one caller's calls all go over the same connection. */
  readonly #sessions: (ClientHttp2Session | undefined)[];

  /** `address` is a host and a port. With several connections no window or lock of one holds all callers up. */
  constructor(address: string, connections = 1) {
    this.#address = address;
    this.#sessions = Array.from({ length: connections }, () => undefined);
  }

  /** Resolves once the write is committed. */
  async put(key: Uint8Array, value: Uint8Array, caller = 0): Promise<void> {
    const request = encodeMessage([
      [1, key],
      [2, value],
    ]);
    await this.#call("/etcdserverpb.KV/Put", request, caller);
  }

  /** Reads one key, linearizably, as is etcd's default. */
  async get(key: Uint8Array, caller = 0): Promise<Uint8Array | undefined> {
    const answer = await this.#call("/etcdserverpb.KV/Range", encodeMessage([[1, key]]), caller);
    const pair = bytesOf(answer, 2);
    return pair.length === 0 ? undefined : bytesOf(decodeMessage(pair), 5);
  }

  async status(): Promise<EtcdStatus> {
    const answer = await this.#call("/etcdserverpb.Maintenance/Status", encodeMessage([]), 0);
    return {
      memberId: integerOf(decodeMessage(bytesOf(answer, 1)), 2),
      leaderId: integerOf(answer, 4),
      version: new TextDecoder().decode(bytesOf(answer, 2)),
    };
  }

  /** The connection of a caller, made anew where the last one has ended. */
  #session(caller: number): ClientHttp2Session {
    const at = caller % this.#sessions.length;
    const standing = this.#sessions[at];
    if (standing !== undefined && !standing.closed && !standing.destroyed) return standing;
    const session = connect(`http://${this.#address}`, {
      settings: { enablePush: false, initialWindowSize: windowBytes },
    });
    session.once("connect", () => session.setLocalWindowSize(windowBytes));
    // Its calls are told, each by itself.
    session.on("error", () => {});
    this.#sessions[at] = session;
    return session;
  }

  async #call(path: string, request: Uint8Array, caller: number): Promise<Fields> {
    return messageIn(await this.#exchange(path, frameOf(request), caller));
  }

  #exchange(path: string, frame: Uint8Array, caller: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session(caller).request({
        ":method": "POST",
        ":path": path,
        te: "trailers",
        "content-type": "application/grpc",
      });
      const parts: Buffer[] = [];
      let status: unknown;
      let said: unknown;
      const note = (headers: Readonly<Record<string, unknown>>): void => {
        status ??= headers["grpc-status"];
        said ??= headers["grpc-message"];
      };
      stream.setTimeout(callTimeoutMs, () => stream.close(constants.NGHTTP2_CANCEL));
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("error", reject);
      stream.on("close", () => {
        if (status === "0") resolve(Buffer.concat(parts));
        else reject(new Error(`etcd answered ${String(status)} to ${path}: ${String(said)}`));
      });
      stream.end(frame);
    });
  }

  [Symbol.dispose](): void {
    for (const session of this.#sessions) session?.destroy();
  }
}
