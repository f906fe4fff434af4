/** One place of a planted bug: this exact text, which stands in the file once, becomes that. */
export interface Patch {
  /** Below `packages/consensus-raft/src`. */
  readonly file: string;
  readonly text: string;
  readonly replacement: string;
}

/** A bug that others have shipped, planted into the production path at its own line. */
export interface Mutation {
  readonly number: number;
  readonly title: string;
  readonly origin: string;
  /** The promises that it breaks: a run that fails for anything else has not found it. */
  readonly breaks: readonly string[];
  readonly patches: readonly Patch[];
}

/** The bugs that the simulator must find. */
export const mutations: readonly Mutation[] = [
  {
    number: 1,
    title: "a term is stored before its vote, and not together with it",
    origin: "hashicorp/raft#661",
    breaks: ["vote-before-durable", "one-vote-a-term", "durable-vote", "election-safety"],
    patches: [
      {
        file: "core/state.ts",
        text: "...(withHardState ? { hardState: this.hardState() } : {}),",
        replacement:
          "...(withHardState ? { hardState: this.#hardStateDirty ? { ...this.hardState(), vote: undefined } : this.hardState() } : {}),",
      },
    ],
  },
  {
    number: 2,
    // What was appended before the election is flushed by then: the own vote counts once it is durable, and writes are in order.
    // What a new leader can take for flushed too early is what it appends itself.
    title: "the tail is taken for flushed when an election is won",
    origin: "openraft#2118",
    breaks: ["durable-is-durable", "committed-on-quorum"],
    patches: [
      {
        file: "core/leading.ts",
        text: 'appendOwn(core, "noop", empty);',
        replacement: 'appendOwn(core, "noop", empty); core.log.durableIndex = core.log.lastIndex;',
      },
    ],
  },
  {
    number: 3,
    title: "a single node counts itself before its sync",
    origin: "etcd#14370",
    breaks: ["durable-is-durable", "committed-on-quorum", "applied-within-durable"],
    patches: [
      {
        file: "core/replication.ts",
        text: "  core.append(entry);\n  return entry.index;",
        replacement:
          "  core.append(entry);\n  if (core.configuration?.voters.length === 1) core.log.durableIndex = entry.index;\n  return entry.index;",
      },
    ],
  },
  {
    number: 4,
    title: "the applied index is not the one that the machine stored with its data",
    origin: "etcd#13766",
    breaks: ["applied-in-order"],
    patches: [
      {
        file: "driver/replica.ts",
        text: "appliedIndex: this.#runner.machine.position().index,",
        replacement: "appliedIndex: Math.max(this.#runner.machine.position().index, log.state.hardState.commitIndex),",
      },
    ],
  },
  {
    number: 5,
    // Two lines of defence: the caller's barrier, and the core's own rule.
    title: "voters are changed before an entry of the own term has committed",
    origin: "the single-server bug of 2015",
    breaks: [
      "settled-before-reconfiguring",
      "committed-on-quorum",
      "leader-completeness",
      "election-safety",
      "state-machine-safety",
      "committed-immutable",
    ],
    patches: [
      {
        file: "core/membership.ts",
        text: "core.configurations.currentIndex <= core.commitIndex && core.commitIndex >= core.termStartIndex;",
        replacement: "core.configurations.currentIndex <= core.commitIndex;",
      },
      {
        file: "driver/raft.ts",
        text: "await replica.reads.wait({ ...options, indexOnly: true });",
        replacement: "",
      },
    ],
  },
  {
    number: 6,
    title: "a read index is given before an entry of the own term has committed",
    origin: "etcd#7331",
    breaks: ["linearizable"],
    patches: [
      {
        file: "core/reads.ts",
        text: "if (reads.inRound.length > 0 || reads.queued.length === 0 || core.commitIndex < core.termStartIndex) return;",
        replacement: "if (reads.inRound.length > 0 || reads.queued.length === 0) return;",
      },
    ],
  },
  {
    number: 7,
    title: "rounds are numbered anew after a pause",
    origin: "etcd#20418",
    breaks: ["linearizable"],
    patches: [
      {
        file: "core/leading.ts",
        text: "for (const peer of core.progress.values()) peer.lastHeardMs = core.nowMs;",
        replacement: "core.round = 0; for (const peer of core.progress.values()) peer.lastHeardMs = core.nowMs;",
      },
    ],
  },
  {
    number: 8,
    title: "a lease counts on a clock that stood still",
    origin: "tikv#964",
    breaks: ["linearizable"],
    patches: [
      {
        file: "core/leading.ts",
        text: "  if (!core.isLeader || core.lease === undefined) return;\n  voidLease(core);",
        replacement: "  if (!core.isLeader || core.lease === undefined) return;",
      },
    ],
  },
  {
    number: 9,
    title: "a leader that hears no majority goes on, and a connected quorum waits for it",
    origin: "openraft#2080",
    breaks: ["majority-serves"],
    patches: [
      {
        file: "core/leading.ts",
        text: "if (hangs || alone) return becomeFollower(core, core.term, undefined);",
        replacement: "if (hangs) return becomeFollower(core, core.term, undefined);",
      },
    ],
  },
  {
    number: 10,
    title: "a candidate of an earlier term is not told of the later one",
    origin: "etcd#8243",
    breaks: ["majority-serves", "majority-elects"],
    patches: [
      {
        file: "core/raft-core.ts",
        text: 'if (message.type !== "vote-request") return;',
        replacement: "return;",
      },
    ],
  },
  {
    number: 11,
    title: "whatever fails its check at the tail is taken for torn",
    origin: "etcd#5230, #6378, #11488",
    breaks: ["durable-entries", "durable-term", "durable-vote"],
    patches: [
      {
        file: "wal/segment-scan.ts",
        text: "if (end !== undefined || !hasBlankSector(window.bytes.subarray(at, at + frame.length), offset)) return corrupt;",
        replacement: "if (end !== undefined) return corrupt;",
      },
    ],
  },
  {
    number: 12,
    title: "a leader gives up its seat before the change that takes it has committed",
    origin: "openraft#2091",
    breaks: ["seat-until-committed"],
    patches: [
      {
        file: "core/membership.ts",
        text: "if (core.change !== undefined) core.change.finalIndex = index;",
        replacement:
          "if (core.change !== undefined) core.change.finalIndex = index; if (!core.isVoter) return stepAside(core);",
      },
    ],
  },
  {
    number: 13,
    title: "a wiped disk is the store that it was",
    origin: "dragonboat#256",
    breaks: ["durable-entries", "durable-term", "durable-vote", "one-vote-a-term"],
    patches: [
      {
        file: "wal/open-wal.ts",
        text: 'Buffer.from(request.random.bytes(16)).toString("hex") as StoreId;',
        replacement: '"01".repeat(16) as StoreId;',
      },
    ],
  },
  {
    number: 14,
    title: "a snapshot names the voters of now, and not those at its index",
    origin: "etcd#11510",
    breaks: ["snapshot-voters"],
    patches: [
      {
        file: "driver/replica.ts",
        text: "const configuration = this.#core.configurationAt(index);",
        replacement: "const configuration = this.#core.configuration;",
      },
    ],
  },
  {
    number: 15,
    title: "the end of a write speaks for entries that have been overwritten since",
    origin: "etcd's append ABA",
    breaks: ["durable-is-durable", "committed-on-quorum"],
    patches: [
      {
        file: "core/log.ts",
        text: "for (const write of this.#writes) write.upTo = Math.min(write.upTo, index - 1);",
        replacement: "",
      },
    ],
  },
];

/** Plants one place of a bug. Throws where its text does not stand in the source exactly once. */
export function plant(source: string, patch: Patch): string {
  const parts = source.split(patch.text);
  if (parts.length !== 2)
    throw new Error(`${patch.file} holds ${parts.length - 1} times ${JSON.stringify(patch.text)}`);
  return parts.join(patch.replacement);
}
