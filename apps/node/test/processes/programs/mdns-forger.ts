/**
 * Says whatever it likes by mDNS: learns from the first question which service is asked for, and answers for it with junk, with what
 * is half right, and with peers that do not exist. Ends by itself; prints how much it sent.
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { decode, encode, type Answer } from "dns-packet";
import { base58btc } from "multiformats/bases/base58";

const [group, port] = ["224.0.0.251", 5353];
const [rounds, pauseMs] = [40, 100];
const [address = "127.0.0.1"] = process.argv.slice(2);

/** A PeerId whose key nobody holds: the identity multihash of an ed25519 key, as libp2p writes it. */
function inventedPeer(): string {
  return base58btc.baseEncode(Buffer.concat([Buffer.from("002408011220", "hex"), randomBytes(32)]));
}

function txt(name: string, data: string | readonly string[]): Answer {
  return { type: "TXT", name, ttl: 120, data: typeof data === "string" ? data : [...data] };
}

function ptr(tag: string, data: string): Answer {
  return { type: "PTR", name: tag, ttl: 120, data };
}

function response(...answers: readonly Answer[]): Buffer {
  return encode({ type: "response", flags: 0x0400, answers: [...answers] });
}

/** Packets of one round, of which none is honest. */
function forgeries(tag: string, round: number): readonly Uint8Array[] {
  const name = `forger${round}.${tag}`;
  const peer = inventedPeer();
  const good = response(ptr(tag, name), txt(name, `dnsaddr=/ip4/${address}/tcp/9/p2p/${peer}`));
  return [
    randomBytes(1 + ((round * 37) % 1400)),
    good.subarray(0, 1 + ((round * 13) % good.length)),
    good,
    response(ptr(tag, name), txt(name, "dnsaddr=")),
    response(ptr(tag, name), txt(name, `dnsaddr=/ip4/300.1.1.1/tcp/99999/p2p/${peer}`)),
    response(ptr(tag, name), txt(name, "dnsaddr=/ip4/10.98.0.1/tcp/1/p2p/nobody")),
    response(ptr(tag, name), txt(name, `dnsaddr=/dns4/${"a".repeat(60)}.invalid/tcp/1/p2p/${peer}`)),
    response(
      ptr(tag, name),
      ...Array.from({ length: 60 }, (_, at) => txt(name, `dnsaddr=/ip4/${address}/tcp/${at + 1}/p2p/${peer}`)),
    ),
    response(txt(tag, "dnsaddr=/ip4/10.98.0.1/tcp/1"), ptr(tag, tag)),
    response(...Array.from({ length: 30 }, () => ptr(tag, inventedPeer().slice(0, 60)))),
  ];
}

const socket = createSocket({ type: "udp4", reuseAddr: true });
let sent = 0;
let isForging = false;

function forge(tag: string, round: number): void {
  if (round === rounds) {
    process.stdout.write(`${sent}\n`);
    socket.close();
    return;
  }
  for (const bytes of forgeries(tag, round)) socket.send(bytes, port, group, () => (sent += 1));
  setTimeout(() => forge(tag, round + 1), pauseMs);
}

socket.on("message", (bytes) => {
  if (isForging) return;
  try {
    const [question] = decode(bytes).questions ?? [];
    if (question === undefined) return;
    isForging = true;
    forge(question.name, 0);
  } catch {
    // What cannot be read is no question.
  }
});
socket.bind(port, () => {
  socket.addMembership(group, address);
  socket.setMulticastInterface(address);
});
