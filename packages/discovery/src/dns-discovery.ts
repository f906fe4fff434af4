import { Resolver } from "node:dns/promises";
import { FabricError, type Address, type AddressHint, type Discovery } from "@revoada/fabric";
import { addressesOf, maxAddresses, targetsOf } from "./core/answers.ts";
import { parseDnsQuestion, type DnsQuestion } from "./core/dns-question.ts";
import type { Pace } from "./core/pace.ts";
import { RepeatedLook, type SourceOptions } from "./repeated-look.ts";

export interface DnsDiscoveryOptions extends SourceOptions {
  /** `name`, `name:port`, or `_service._tcp.name`. */
  readonly name: string;
  /** The port where the name has none and asks for no service. */
  readonly defaultPort: number;
  /** Servers to ask, `ip` or `ip:port`, instead of those of the host. */
  readonly servers?: readonly string[];
  readonly pace?: Partial<Pace>;
}

const pace: Pace = { everyMs: 30_000, retryMs: 1_000, maxRetryMs: 60_000 };
/** One question waits this long for a server, and is put this often. */
const questionTimeoutMs = 2_000;
const tries = 2;

/** The DNS has no usable answer now. */
class DnsAnswerError extends FabricError {
  constructor(name: string, why: string) {
    super("DISCOVERY_NO_ANSWER", `${name}: ${why}`, { retryable: true });
  }
}

/**
 * The addresses of a name: A and AAAA records, or the instances of a service by SRV. Asks the DNS itself, not the host's file of names.
 * Throws `DISCOVERY_INVALID_SOURCE`.
 *
 * @example
 * ```ts
 * const nodes = dnsDiscovery({ name: "_revoada._tcp.example.com", defaultPort: 7400, clock, random });
 * ```
 */
export function dnsDiscovery(options: DnsDiscoveryOptions): Discovery {
  const question = parseDnsQuestion(options.name, options.defaultPort);
  const { servers } = options;
  return new RepeatedLook({
    ...options,
    name: `dns:${options.name}`,
    pace: { ...pace, ...options.pace },
    look: async (signal) => hintsOf(await ask(question, servers, signal)),
  });
}

/** Who is behind an address is for whoever dials it to find out: each is a hint of its own. */
function hintsOf(addresses: readonly Address[]): readonly AddressHint[] {
  return addresses.map((address) => ({ source: "dns", addresses: [address] }));
}

async function ask(
  question: DnsQuestion,
  servers: readonly string[] | undefined,
  signal: AbortSignal,
): Promise<readonly Address[]> {
  const resolver = new Resolver({ timeout: questionTimeoutMs, tries });
  if (servers !== undefined) resolver.setServers(servers);
  const cancel = (): void => resolver.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    signal.throwIfAborted();
    const found =
      question.kind === "host"
        ? await hostAddresses(resolver, question.name, question.port)
        : await serviceAddresses(resolver, question.name);
    if (found.length === 0) throw new DnsAnswerError(question.name, "no usable address");
    return found;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** Either kind of address is enough; where both fail, the first reason is the one that is told. */
async function hostAddresses(resolver: Resolver, name: string, port: number): Promise<readonly Address[]> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  if (four.status === "rejected" && six.status === "rejected") throw new DnsAnswerError(name, reasonOf(four.reason));
  const ips = [four, six].flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  return addressesOf(ips, port);
}

async function serviceAddresses(resolver: Resolver, name: string): Promise<readonly Address[]> {
  let records: readonly unknown[];
  try {
    records = await resolver.resolveSrv(name);
  } catch (error) {
    throw new DnsAnswerError(name, reasonOf(error));
  }
  const targets = targetsOf(records);
  const answers = await Promise.allSettled(targets.map((target) => hostAddresses(resolver, target.name, target.port)));
  const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  const [failed] = answers.filter((answer) => answer.status === "rejected");
  if (found.length === 0 && failed !== undefined) throw failed.reason;
  return [...new Set(found)].slice(0, maxAddresses);
}

/** The words of resolvers, in words. */
function reasonOf(error: unknown): string {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  switch (code) {
    case "ENOTFOUND":
      return "there is no such name";
    case "ENODATA":
      return "the name has no such record";
    case "ETIMEOUT":
      return "no server answered in time";
    case "ESERVFAIL":
      return "the server could not answer";
    case "EREFUSED":
      return "the server refused to answer";
    case "ECONNREFUSED":
      return "no server could be asked";
    case "EBADRESP":
      return "the answer was malformed";
    default:
      return typeof code === "string" ? code : String(error);
  }
}
