/**
 * One of the three processes of the bare program: append, `fdatasync`, majority. No terms, no elections, no checks: what is left
 * is what any replicated log has to pay. Driven over the channel of its parent.
 */
import { connect, createServer, type Socket } from "node:net";
import { runCallers, type LoadOptions } from "../load.ts";
import { takeOrders } from "../processes.ts";
import { AppendLog } from "./append-log.ts";

type Order =
  | { readonly type: "open"; readonly path: string }
  | { readonly type: "follow" }
  | { readonly type: "lead"; readonly ports: readonly number[] }
  | { readonly type: "load"; readonly options: LoadOptions };

let log: AppendLog | undefined;
let propose: ((payload: Uint8Array) => Promise<void>) | undefined;

/** A follower takes frames (sequence number, length, bytes), and answers with the sequence number that is durable. */
async function follow(): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => serve(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return (server.address() as { port: number }).port;
}

function serve(socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    let offset = 0;
    let last = -1;
    const buffers: Uint8Array[] = [];
    while (pending.length - offset >= 12) {
      const length = pending.readUInt32BE(offset + 8);
      if (pending.length - offset - 12 < length) break;
      last = Number(pending.readBigUInt64BE(offset));
      buffers.push(pending.subarray(offset, offset + 12 + length));
      offset += 12 + length;
    }
    pending = pending.subarray(offset);
    if (last < 0) return;
    void log?.append(buffers).then(() => {
      const answer = Buffer.alloc(8);
      answer.writeBigUInt64BE(BigInt(last));
      socket.write(answer);
    });
  });
}

/** The leader sends to both followers in parallel with its own flush, and commits what two of the three hold. */
async function lead(ports: readonly number[]): Promise<(payload: Uint8Array) => Promise<void>> {
  const durable = [0, 0, 0];
  const waiting: { readonly sequence: number; readonly resolve: () => void }[] = [];
  let head = 0;
  let sequence = 0;
  let turn: Buffer[] = [];
  const settle = (): void => {
    const committed = durable.toSorted((a, b) => b - a)[1] ?? 0;
    while (head < waiting.length && (waiting[head]?.sequence ?? Infinity) <= committed) waiting[head++]?.resolve();
    if (head > 10_000) {
      waiting.splice(0, head);
      head = 0;
    }
  };
  const sockets = await Promise.all(
    ports.map((port, index) =>
      dial(port, (acknowledged) => {
        durable[index + 1] = Math.max(durable[index + 1] ?? 0, acknowledged);
        settle();
      }),
    ),
  );
  const flush = (): void => {
    const batch = turn;
    const upTo = sequence;
    turn = [];
    const frames = Buffer.concat(batch);
    for (const socket of sockets) socket.write(frames);
    void log?.append([frames]).then(() => {
      durable[0] = Math.max(durable[0] ?? 0, upTo);
      settle();
    });
  };
  return (payload) =>
    new Promise((resolve) => {
      sequence += 1;
      const frame = Buffer.allocUnsafe(12 + payload.length);
      frame.writeBigUInt64BE(BigInt(sequence), 0);
      frame.writeUInt32BE(payload.length, 8);
      frame.set(payload, 12);
      waiting.push({ sequence, resolve });
      turn.push(frame);
      if (turn.length === 1) setImmediate(flush);
    });
}

async function dial(port: number, acknowledge: (sequence: number) => void): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let pending: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const whole = pending.length - (pending.length % 8);
    if (whole > 0) acknowledge(Number(pending.readBigUInt64BE(whole - 8)));
    pending = pending.subarray(whole);
  });
  await new Promise<void>((resolve) => {
    socket.once("connect", resolve);
  });
  return socket;
}

async function carryOut(order: Order): Promise<unknown> {
  switch (order.type) {
    case "open": {
      const before = log;
      log = await AppendLog.open(order.path);
      await before?.discard();
      return undefined;
    }
    case "follow":
      return follow();
    case "lead":
      propose = await lead(order.ports);
      return undefined;
    case "load":
      return runCallers(order.options, propose ?? (() => Promise.reject(new Error("this replica does not lead"))));
  }
}

takeOrders(carryOut);
