import type { Generation } from "@revoada/fabric";
import { configurationOf } from "../../src/core/configuration.ts";
import type { CoreLimits, Message } from "../../src/core/types.ts";
import { entry, nodeId, replica, type NodeOptions, type TestNode } from "../support/cluster.ts";
import { Words } from "../support/words.ts";
import { configurationText, entryText, roleText } from "./trace.ts";
import { ScenarioWorld } from "./world.ts";

function limitsOf(words: Words): Partial<CoreLimits> {
  const names = {
    inflight: "maxInFlightMessages",
    "message-bytes": "maxMessageBytes",
    "cache-bytes": "cacheBytes",
    "apply-entries": "maxApplyEntries",
  } as const;
  const limits: Record<string, number> = {};
  for (const [name, limit] of Object.entries(names)) {
    const value = words.optionNumber(name);
    if (value !== undefined) limits[limit] = value;
  }
  return limits;
}

/** Nodes draw the middle of what their timer may be, a millisecond apart: 150, 151, 152 … */
function nodeOptions(n: number, numbers: readonly number[], words: Words): NodeOptions {
  const [base] = words.positions("base");
  const voters = words.members("voters") ?? numbers.map((each) => replica(each));
  const marginMs = words.optionNumber("lease-margin");
  const entries = words.positions("log").map(([index, term]) => entry(index, term));
  const term = words.optionNumber("term") ?? entries.at(-1)?.term ?? base?.[1] ?? 0;
  const commitIndex = words.optionNumber("commit") ?? base?.[0] ?? 0;
  return {
    random: () => 0.49 + n / 100,
    limits: limitsOf(words),
    ...(voters.length === 0 ? {} : { configuration: configurationOf(voters, words.members("learners") ?? []) }),
    ...(base === undefined ? {} : { baseIndex: base[0], baseTerm: base[1] }),
    ...(marginMs === undefined ? {} : { leaseReads: { marginMs } }),
    entries,
    term,
    commitIndex,
    life: words.optionNumber("life") ?? 0,
    nowMs: words.optionNumber("now") ?? 0,
  };
}

function matching(words: Words): (message: Message) => boolean {
  const [first] = words.words;
  const [from, to] = first === undefined ? [] : first.includes("->") ? first.split("->") : ["", first];
  const type = words.option("type");
  return (message) =>
    (from === undefined || from === "" || message.from === nodeId(Number(from))) &&
    (to === undefined || to === "" || message.to === nodeId(Number(to))) &&
    (type === undefined || message.type === type);
}

function statusText(node: TestNode): string {
  const { core } = node;
  const storage = core.storage === "ok" ? "" : `, log ${core.storage}`;
  const lease = core.holdsLease(node.nowMs) ? ", holds a lease" : "";
  const log = `log ${core.firstIndex}..${core.lastIndex}, durable ${core.durableIndex}, commit ${core.commitIndex}, applied ${core.appliedIndex}`;
  return `${node.number}: ${roleText(node)}, ${log}${storage}${lease}`;
}

function logText(node: TestNode): string {
  const { stored, core } = node;
  if (core.lastIndex < core.firstIndex) return `empty, from ${core.firstIndex} on`;
  const lines: string[] = [];
  for (let index = core.firstIndex; index <= core.lastIndex; index += 1) {
    const kept = stored.entries[index - stored.baseIndex - 1];
    const term = core.termAt(index);
    lines.push(kept?.term === term && kept !== undefined ? entryText(kept) : `${index}/${term} not on the disk`);
  }
  return lines.join("\n");
}

type Command = (world: ScenarioWorld, words: Words) => void;

const requestIds = { propose: 1, read: 2, change: 3, transfer: 4 } as const;

const events: Record<string, Command> = {
  campaign: (world, words) => world.step(words.number(0), { type: "campaign" }),
  announce: (world, words) => world.step(words.number(0), { type: "announce" }),
  "forget-leader": (world, words) => world.step(words.number(0), { type: "forget-leader" }),
  stall: (world, words) => world.step(words.number(0), { type: "stalled" }),
  jump: (world, words) => world.step(words.number(0), { type: "clock-jumped" }),
  propose: (world, words) => {
    const payloads = words.words.slice(1).map((word) => new TextEncoder().encode(word));
    world.step(words.number(0), { type: "propose", id: requestIds.propose, payloads });
  },
  read: (world, words) => world.step(words.number(0), { type: "read", id: words.number(1) }),
  transfer: (world, words) =>
    world.step(words.number(0), { type: "transfer", id: requestIds.transfer, to: nodeId(words.number(1)) }),
  change: (world, words) =>
    world.step(words.number(0), {
      type: "change",
      id: requestIds.change,
      voters: words.members("voters") ?? [],
      learners: words.members("learners") ?? [],
      generation: (words.optionNumber("generation") ?? 1) as Generation,
    }),
};

const time: Record<string, Command> = {
  /** One node's time, or everybody's. */
  advance: (world, words) => {
    const ms = words.number(words.words.length - 1);
    const numbers = words.words.length > 1 ? [words.number(0)] : world.numbers;
    for (const n of numbers) world.act(n, (node) => void node.advance(ms));
  },
};

const network: Record<string, Command> = {
  /** A message that no core has sent: `append 2->1 term=4 after=1/1 log=2/2`. */
  append: (world, words) => {
    const [from, to] = (words.words[0] ?? "").split("->").map(Number) as [number, number];
    const [prevIndex, prevTerm] = words.positions("after")[0] ?? [0, 0];
    const entries = words.positions("log").map(([index, term]) => entry(index, term));
    const commit = words.optionNumber("commit") ?? 0;
    const message = { type: "append", prevIndex, prevTerm, commit, entries } as const;
    world.act(to, (node) => void node.receive(from, words.optionNumber("term") ?? 0, message));
  },
  deliver: (world, words) => void world.deliver(matching(words)),
  drop: (world, words) => world.drop(matching(words)),
  stabilize: (world, words) => world.stabilize(words.words.length > 0 ? words.numbers() : world.numbers),
  cut: (world, words) => world.cut(words.numbers()),
  heal: (world) => world.cut([]),
};

const storage: Record<string, Command> = {
  hold: (world, words) => {
    const what = words.words[0];
    for (const n of words.numbers(1)) {
      if (what === "writes") world.node(n).holdWrites = true;
      else if (what === "apply") world.node(n).holdApply = true;
      else throw new Error(`${what} cannot be held`);
    }
  },
  write: (world, words) =>
    world.act(words.number(0), (node) => node.completeWrites(words.words.length > 1 ? words.number(1) : Infinity)),
  apply: (world, words) => world.act(words.number(0), (node) => node.completeApply()),
  restart: (world, words) =>
    world.act(words.number(0), (node) => {
      node.restart();
      node.step({ type: "start" });
    }),
  compact: (world, words) => world.act(words.number(0), (node) => node.compact(words.number(1))),
  snapshot: (world, words) => {
    const [from, to] = (words.words[0] ?? "").split("->").map(Number) as [number, number];
    world.receiveSnapshot(from, to);
  },
  install: (world, words) => world.act(words.number(0), (node) => node.completeInstall()),
  "snapshot-sent": (world, words) => {
    const [from, to] = (words.words[0] ?? "").split("->").map(Number) as [number, number];
    const success = words.words[1] !== "failed";
    world.step(from, { type: "snapshot-sent", to: nodeId(to), index: words.optionNumber("index") ?? 0, success });
  },
};

const questions: Record<string, Command> = {
  nodes: (world, words) => {
    const numbers = words.numbers();
    for (const n of numbers) world.add(n, nodeOptions(n, numbers, words));
  },
  status: (world, words) => {
    for (const n of words.words.length > 0 ? words.numbers() : world.numbers) world.say(statusText(world.node(n)));
  },
  progress: (world, words) => {
    const node = world.node(words.number(0));
    const peers = node.core.progress(node.nowMs);
    if (peers.size === 0) world.say("nobody");
    for (const [id, peer] of peers) {
      world.say(`${Number.parseInt(id, 16)}: ${peer.state}, match ${peer.matchIndex}`);
    }
  },
  configuration: (world, words) => {
    for (const n of words.numbers()) {
      const { configuration } = world.node(n).core;
      world.say(`${n}: ${configuration === undefined ? "none" : configurationText(configuration)}`);
    }
  },
  log: (world, words) => world.say(logText(world.node(words.number(0)))),
};

const commands: Record<string, Command> = { ...events, ...time, ...network, ...storage, ...questions };

/** Makes what runs the commands of one file and answers what they brought about. */
export function scenario(): (lines: readonly string[]) => string {
  const world = new ScenarioWorld();
  return (lines) => {
    const said: string[] = [];
    for (const line of lines) {
      const [first = "", ...rest] = line.split(" ");
      const quiet = first === "quietly";
      const [name = "", ...words] = quiet ? rest : [first, ...rest];
      const command = commands[name];
      if (command === undefined) throw new Error(`"${name}" is no command`);
      command(world, new Words(words));
      const happened = world.takeLines();
      if (!quiet) said.push(...happened);
    }
    return said.length > 0 ? said.join("\n") : "ok";
  };
}
