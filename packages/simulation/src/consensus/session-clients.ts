import type { Session } from "@revoada/consensus-raft";
import type { Committed } from "@revoada/fabric";
import type { SeededRandom } from "@revoada/fabric/memory";
import type { RegisterCommand } from "./register-machine.ts";
import { ProcessDiedError, type SimulatedReplica } from "./replica.ts";
import type { Setup } from "./setup.ts";
import type { ConsensusTotals } from "./totals.ts";

/** No session could be opened, so that the command was never sent. */
export class NeverProposedError extends Error {}

export interface SessionSurroundings {
  readonly setup: Setup;
  readonly totals: ConsensusTotals;
  readonly random: SeededRandom;
}

type OpenSession = Promise<Session<RegisterCommand, string>>;

/** Clients at each replica, with a session each. */
const clientsEach = 3;
/** How long a command is tried, in election timeouts: through more than one attempt of which nobody knows what became of it. */
const patience = 35;

function processDied(): ProcessDiedError {
  return new ProcessDiedError("the process died");
}

/** Proposes through sessions: what is sent again must take effect once. */
export class SessionClients {
  readonly #around: SessionSurroundings;
  /** A session ends with the process that opened it. */
  readonly #open = new WeakMap<SimulatedReplica["life"], (OpenSession | undefined)[]>();

  constructor(around: SessionSurroundings) {
    this.#around = around;
  }

  /** Undefined where this command goes without a session. */
  propose(replica: SimulatedReplica, command: RegisterCommand): Promise<Committed<string>> | undefined {
    const { setup, random } = this.#around;
    if (setup.sessions === undefined) return undefined;
    const own = random.fork(`session-${command.id}`);
    return own.chance(0.6) ? this.#propose(replica, command, own) : undefined;
  }

  async #propose(
    replica: SimulatedReplica,
    command: RegisterCommand,
    random: SeededRandom,
  ): Promise<Committed<string>> {
    const client = random.below(clientsEach);
    const session = await this.#sessionOf(replica, client);
    const timeoutMs = patience * this.#around.setup.electionTimeoutMs;
    const committed = await replica.whileUp(session.propose(command, { timeoutMs }));
    if (random.chance(0.03)) this.#close(replica, client, session);
    return committed;
  }

  async #sessionOf(replica: SimulatedReplica, client: number): OpenSession {
    const { life } = replica;
    const open = this.#open.get(life) ?? [];
    this.#open.set(life, open);
    let session = await open[client]?.catch(() => undefined);
    if (session?.expired !== false) {
      const opening = this.#opened(replica, life);
      open[client] = opening;
      session = await opening;
    }
    if (!replica.isUp || replica.life !== life) throw new NeverProposedError("no session", { cause: processDied() });
    return session;
  }

  async #opened(replica: SimulatedReplica, life: SimulatedReplica["life"]): OpenSession {
    const { sessions } = life;
    if (sessions === undefined) throw new TypeError("a log without sessions");
    const isAlive = replica.isUp && replica.life === life;
    try {
      const session = await (isAlive ? replica.whileUp(sessions.openSession()) : Promise.reject(processDied()));
      this.#around.totals.sessionsOpened += 1;
      return session;
    } catch (error) {
      throw new NeverProposedError("no session", { cause: error });
    }
  }

  #close(replica: SimulatedReplica, client: number, session: Session<RegisterCommand, string>): void {
    const open = replica.isUp ? this.#open.get(replica.life) : undefined;
    if (open !== undefined) open[client] = undefined;
    replica.whileUp(session.close()).then(
      () => {
        this.#around.totals.sessionsClosed += 1;
      },
      () => undefined,
    );
  }
}
