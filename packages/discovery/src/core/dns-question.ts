import { DiscoverySourceError } from "../errors.ts";

/** What is asked of the DNS: the addresses of a host, whose port is known, or the instances of a service, which say theirs. */
export type DnsQuestion =
  | { readonly kind: "host"; readonly name: string; readonly port: number }
  | { readonly kind: "service"; readonly name: string };

const label = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/;

/** RFC 1035 §2.3.4, as text: 253 characters, labels of 1 to 63. */
function isName(name: string): boolean {
  return (
    name.length <= 253 &&
    name
      .replace(/\.$/, "")
      .split(".")
      .every((part) => label.test(part))
  );
}

/**
 * Reads a question: `_service._tcp.example.com` asks for SRV records (RFC 2782), whatever else for A and AAAA, with the port behind a
 * colon or `defaultPort`. Throws `DISCOVERY_INVALID_SOURCE`.
 */
export function parseDnsQuestion(text: string, defaultPort: number): DnsQuestion {
  const expected = "a name, name:port or _service._tcp.name";
  const [name = "", port, ...rest] = text.split(":");
  if (rest.length > 0 || !isName(name)) throw new DiscoverySourceError(text, expected);
  if (name.startsWith("_")) {
    const fits = /^_[^.]+\._(?:tcp|udp)\../i.test(name) && port === undefined;
    if (!fits) throw new DiscoverySourceError(text, "_service._tcp.name without a port: SRV records say it");
    return { kind: "service", name };
  }
  const number = port === undefined ? defaultPort : Number(port);
  if ((port !== undefined && !/^\d{1,5}$/.test(port)) || number < 1 || number > 65_535)
    throw new DiscoverySourceError(text, expected);
  return { kind: "host", name, port: number };
}
