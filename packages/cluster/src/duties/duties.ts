import {
  InvalidValueError,
  LeasesUnsupportedError,
  parseDutyName,
  silentMetrics,
  type Catalog,
  type Clock,
  type Duty,
  type DutyKind,
  type FencingToken,
  type Formation,
  type Logger,
  type Membership,
  type Metrics,
  type NodeId,
} from "@revoada/fabric";
import type { ChainArchiver } from "../chain/archiver.ts";
import { say } from "../say.ts";
import { DutyRunner, type DutyState } from "./duty-runner.ts";
import { dutyRank, dutyStanding } from "./placement.ts";

export interface DutiesOptions {
  readonly duties: readonly Duty[];
  readonly node: NodeId;
  readonly catalog: Catalog;
  readonly membership: Membership;
  readonly formation: () => Formation;
  /** True where this node has a place in the log. */
  readonly holdsReplica: () => boolean;
  /** What duties may do with the chain. */
  readonly chain?: Pick<ChainArchiver, "archive">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly leaseTtlMs: number;
}

/** One duty, as one node sees it. */
export interface DutyReport {
  readonly duty: string;
  readonly kind: DutyKind;
  /** What this node does about it. */
  readonly state: DutyState;
  /**
   * Who does it: for a singleton the holder of the lease, as this replica knows it; else those that say so in gossip, which is a hint.
   */
  readonly nodes: readonly NodeId[];
  /** Of a singleton that somebody holds. */
  readonly token?: FencingToken;
  /** What it failed with here, while it waits to be tried again. */
  readonly error?: string;
}

/** The gossip key under which a node says which duties it does. A hint for others, as all gossip. */
const dutiesKey = "duties";
const maxAnnounced = 512;

/** The duties that a member says to do. */
export function announcedDuties(keys: ReadonlyMap<string, string> | undefined): readonly string[] {
  const said = keys?.get(dutiesKey) ?? "";
  return said === "" ? [] : said.split(",");
}

/** All duties of one node, followed by the committed formation. */
export class Duties {
  readonly #options: DutiesOptions;
  readonly #runners: readonly DutyRunner[];
  #unsubscribe: () => void = () => undefined;

  /** Throws `FABRIC_INVALID_VALUE` for names that are malformed or taken, `CATALOG_LEASES_UNSUPPORTED` for singletons without leases. */
  constructor(options: DutiesOptions) {
    this.#options = options;
    const { duties, node, catalog, chain, clock, logger, leaseTtlMs, metrics = silentMetrics } = options;
    const names = new Set<string>();
    for (const { name, kind } of duties) {
      if (names.has(parseDutyName(name))) throw new InvalidValueError("duty", name, "a name that no other duty has");
      names.add(name);
      if (kind === "singleton" && !catalog.leases.supported) throw new LeasesUnsupportedError();
    }
    this.#runners = duties.map(
      (duty) =>
        new DutyRunner({
          duty,
          node,
          catalog,
          chain,
          clock,
          logger,
          metrics,
          leaseTtlMs,
          standing: () => (options.holdsReplica() ? dutyStanding(options.formation().nodes.get(node)) : "none"),
          rank: () => dutyRank(options.formation(), duty.name, node),
          onChange: () => this.#announce(),
        }),
    );
  }

  start(): void {
    this.#unsubscribe = this.#options.catalog.leases.onDutiesChange(() => this.poke());
    for (const runner of this.#runners) runner.start();
  }

  /** The formation changed, or this node's place in the log. */
  poke(): void {
    for (const runner of this.#runners) runner.poke();
  }

  /** Ends all duties and gives their leases back. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    await Promise.all(this.#runners.map((runner) => runner.stop()));
  }

  report(): readonly DutyReport[] {
    const held = this.#options.catalog.leases.duties();
    const { members } = this.#options.membership.view();
    return this.#runners.map(({ duty: { name, kind }, state, token, error }) => {
      const holding = held.find(({ duty }) => duty === name);
      const saying = [...members.values()].filter(
        (member) => member.status === "alive" && announcedDuties(member.keys).includes(name),
      );
      const nodes =
        kind === "singleton" ? (holding === undefined ? [] : [holding.holder as NodeId]) : saying.map(({ id }) => id);
      const newest = holding?.token ?? token;
      return {
        duty: name,
        kind,
        state,
        nodes: nodes.toSorted(),
        ...(newest === undefined ? {} : { token: newest }),
        ...(error === undefined ? {} : { error }),
      };
    });
  }

  #announce(): void {
    const { membership } = this.#options;
    const running = this.#runners.filter(({ state }) => state === "running").map(({ duty }) => duty.name);
    let said = running.toSorted().join(",");
    // Names are told whole or not at all.
    while (said.length > maxAnnounced) said = said.slice(0, said.lastIndexOf(","));
    say(membership, dutiesKey, said);
  }
}
