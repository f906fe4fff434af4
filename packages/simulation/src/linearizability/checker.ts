import { applyCall, emptyValue, type Operation } from "./operation.ts";

/** What a check came to. `undecided` says that the budget ran out, which proves nothing. */
export type Verdict =
  | { readonly verdict: "linearizable" }
  | {
      readonly verdict: "not-linearizable" | "undecided";
      readonly key: string;
      readonly stuckAt: readonly Operation[];
    };

export interface CheckOptions {
  /** How many (operations taken, state) pairs may be visited for one key; 2,000,000 unless told. */
  readonly budget?: number;
}

const defaultBudget = 2_000_000;

/**
 * Decides whether a history of registers is linearizable: whether every operation can be given one moment between its invocation and
 * its response, such that each answer is the one that the sequential register gives.
 *
 * The search is that of Wing and Gong with Lowe's memoisation (*Testing for linearizability*, 2017): a pair of the operations
 * that were taken and the state that they left is visited once. Each register is checked by itself, because linearizability is
 * local (Herlihy and Wing, 1990). An operation whose fate is unknown may take effect at any moment after its invocation, or never.
 * One that was definitely refused does not belong into a history.
 */
export function checkLinearizable(history: readonly Operation[], options: CheckOptions = {}): Verdict {
  const byKey = new Map<string, Operation[]>();
  for (const operation of history) {
    const known = byKey.get(operation.key);
    if (known === undefined) byKey.set(operation.key, [operation]);
    else known.push(operation);
  }
  for (const [key, operations] of byKey) {
    const outcome = new KeySearch(withoutUnseen(operations), options.budget ?? defaultBudget).run();
    if (outcome !== undefined) return { ...outcome, key };
  }
  return { verdict: "linearizable" };
}

/**
 * Leaves out what cannot matter: a write of unknown fate whose value nobody can have met. Every answer of a register but that of a put
 * tells its whole state, so a value that stands in no answer and is expected by nobody was never there when somebody looked.
 */
function withoutUnseen(operations: readonly Operation[]): readonly Operation[] {
  const unknown = operations.filter((operation) => operation.respondedAt === Infinity);
  if (unknown.length === 0) return operations;
  const seen: string[] = [];
  for (const { call, answer } of operations) {
    if (answer !== undefined) seen.push(answer);
    if (call.kind === "compare-and-swap") seen.push(call.expected);
  }
  const dropped = new Set<Operation>();
  for (const operation of unknown) {
    const { call } = operation;
    if (call.kind === "get" || !seen.some((text) => text.includes(call.value))) dropped.add(operation);
  }
  return operations.filter((operation) => !dropped.has(operation));
}

/** An invocation or a response, in a list from which operations are taken and put back (as in Wing and Gong). */
interface Mark {
  readonly operation: number;
  readonly isCall: boolean;
  previous: Mark;
  next: Mark | undefined;
}

interface Taken {
  readonly call: Mark;
  /** It only read, and what it read is there now: moved here, it stands in nobody's way. So nothing else is tried in its place. */
  readonly isForced: boolean;
  readonly stateBefore: string;
}

class KeySearch {
  readonly #operations: readonly Operation[];
  readonly #head: Mark;
  readonly #response: (Mark | undefined)[] = [];
  readonly #definite: number;
  readonly #budget: number;
  /** One bit for each operation that was taken, 32 to a word. */
  readonly #bits: Uint32Array;
  readonly #visited = new Set<string>();
  readonly #taken: Taken[] = [];
  #definiteTaken = 0;
  #state: string = emptyValue;
  /** The deepest point that the search reached, to be shown where there is no order. */
  #deepest = { taken: -1, stuckAt: [] as readonly Operation[] };

  constructor(operations: readonly Operation[], budget: number) {
    this.#operations = operations;
    this.#budget = budget;
    this.#definite = operations.filter((operation) => operation.respondedAt !== Infinity).length;
    this.#bits = new Uint32Array(Math.ceil(operations.length / 32));
    this.#head = this.#link();
  }

  /** Links invocations and responses in the order of time. Unknown ones have no response: they stay open for ever. */
  #link(): Mark {
    const moments: { readonly at: number; readonly operation: number; readonly isCall: boolean }[] = [];
    this.#operations.forEach(({ invokedAt, respondedAt }, operation) => {
      moments.push({ at: invokedAt, operation, isCall: true });
      if (respondedAt !== Infinity) moments.push({ at: respondedAt, operation, isCall: false });
    });
    // At one moment calls come first: what touches may overlap.
    moments.sort((left, right) => left.at - right.at || Number(right.isCall) - Number(left.isCall));
    const head = { operation: -1, isCall: false } as Mark;
    let last = head;
    for (const { operation, isCall } of moments) {
      const mark: Mark = { operation, isCall, previous: last, next: undefined };
      last.next = mark;
      last = mark;
      if (!isCall) this.#response[operation] = mark;
    }
    return head;
  }

  /** Undefined where an order was found. */
  run(): { readonly verdict: "not-linearizable" | "undecided"; readonly stuckAt: readonly Operation[] } | undefined {
    let mark = this.#advance();
    while (this.#definiteTaken < this.#definite) {
      if (mark === undefined || !mark.isCall) {
        // A response that is met says that its operation had to come earlier: one of those before it was taken too soon.
        this.#noteDeepest();
        const back = this.#backtrack();
        if (back === undefined) return { verdict: "not-linearizable", stuckAt: this.#deepest.stuckAt };
        mark = back.next;
        continue;
      }
      if (this.#visited.size > this.#budget) return { verdict: "undecided", stuckAt: this.#deepest.stuckAt };
      mark = this.#take(mark, false) ? this.#advance() : mark.next;
    }
    return undefined;
  }

  /** Takes all that can be taken without a choice, and returns the first call among which there is one. */
  #advance(): Mark | undefined {
    for (let mark = this.#head.next; mark?.isCall === true;) {
      const { call, answer } = this.#operations[mark.operation] as Operation;
      // A write that happens to write what is there must stay free: it may be what brings that back later.
      const onlyReads = call.kind === "get" || answer?.startsWith("false:") === true;
      if (!onlyReads || applyCall(this.#state, call).answer !== answer) mark = mark.next;
      else if (this.#take(mark, true)) mark = this.#head.next;
      // What follows was tried before and led nowhere.
      else return undefined;
    }
    return this.#head.next;
  }

  /** Undoes steps up to the last one that was a choice, and returns its call; undefined where there was none. */
  #backtrack(): Mark | undefined {
    for (;;) {
      const back = this.#taken.pop();
      if (back === undefined) return undefined;
      this.#putBack(back);
      if (!back.isForced) return back.call;
    }
  }

  /** Takes the operation of `call` next, where its answer fits and nothing new would be tried twice. */
  #take(call: Mark, isForced: boolean): boolean {
    const { operation } = call;
    const { call: asked, answer } = this.#operations[operation] as Operation;
    const result = applyCall(this.#state, asked);
    if (answer !== undefined && answer !== result.answer) return false;
    this.#flip(operation);
    const key = `${this.#bits.join()}|${result.state}`;
    if (this.#visited.has(key)) {
      this.#flip(operation);
      return false;
    }
    this.#visited.add(key);
    this.#taken.push({ call, isForced, stateBefore: this.#state });
    this.#state = result.state;
    const response = this.#response[operation];
    if (response !== undefined) {
      this.#definiteTaken += 1;
      unlink(response);
    }
    unlink(call);
    return true;
  }

  /** Undoes a step. */
  #putBack({ call, stateBefore }: Taken): void {
    const { operation } = call;
    relink(call);
    const response = this.#response[operation];
    if (response !== undefined) {
      this.#definiteTaken -= 1;
      relink(response);
    }
    this.#flip(operation);
    this.#state = stateBefore;
  }

  #flip(operation: number): void {
    const word = operation >>> 5;
    this.#bits[word] = ((this.#bits[word] as number) ^ (1 << (operation & 31))) >>> 0;
  }

  #noteDeepest(): void {
    if (this.#taken.length <= this.#deepest.taken) return;
    const open: Operation[] = [];
    for (let mark = this.#head.next; mark?.isCall === true; mark = mark.next) {
      open.push(this.#operations[mark.operation] as Operation);
    }
    const last = this.#taken.slice(-3).map(({ call }) => this.#operations[call.operation] as Operation);
    this.#deepest = { taken: this.#taken.length, stuckAt: [...last, ...open] };
  }
}

function unlink(mark: Mark): void {
  mark.previous.next = mark.next;
  if (mark.next !== undefined) mark.next.previous = mark.previous;
}

function relink(mark: Mark): void {
  mark.previous.next = mark;
  if (mark.next !== undefined) mark.next.previous = mark;
}
