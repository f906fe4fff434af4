import { DiscoveryOptionsError } from "../errors.ts";

const hostAndPort = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/;
const multiaddrOverTcp =
  /^\/(?:ip4\/(?:\d{1,3}\.){3}\d{1,3}|ip6\/[0-9a-fA-F:.]+|dns[46]?\/[\w.-]+)\/tcp\/(\d{1,5})(?:\/p2p\/[1-9A-HJ-NP-Za-km-z]{32,128})?$/;
const ipv4 = /^(?:\d{1,3}\.){3}\d{1,3}$/;
const maxLength = 400;

/**
 * Reads where libp2p listens or another one does: `host:port`, or a multiaddr over TCP, with or without who is there. Returns the
 * multiaddr. Throws `DISCOVERY_INVALID_OPTIONS`, naming `option`.
 */
export function multiaddrOf(option: string, value: string): string {
  if (value.length <= maxLength) {
    const over = multiaddrOverTcp.exec(value);
    if (over !== null && isPort(over[1])) return value;
    const plain = hostAndPort.exec(value);
    if (plain !== null && isPort(plain[3])) {
      const [, six, host = "", port] = plain;
      if (six !== undefined) return `/ip6/${six}/tcp/${port}`;
      return `/${ipv4.test(host) ? "ip4" : "dns"}/${host}/tcp/${port}`;
    }
  }
  throw new DiscoveryOptionsError(option, value, "host:port or a multiaddr such as /ip4/10.0.0.1/tcp/7401");
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && Number(text) <= 65_535;
}
