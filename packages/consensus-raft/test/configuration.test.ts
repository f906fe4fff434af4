/** Configurations and quorums as tables, and a quorum held against what counting every possibility says. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isFabricError, type Configuration, type Generation, type ReplicaId } from "@revoada/fabric";
import { decodeConfiguration, encodeConfiguration } from "../src/core/configuration-codec.ts";
import {
  checkConfiguration,
  ConfigurationHistory,
  firstStep,
  isLearner,
  isVoter,
  leaveJoint,
  quorumValue,
  replicasOf,
  sameConfiguration,
  voteResult,
  type VoteResult,
} from "../src/core/configuration.ts";
import { configurationText } from "./scenarios/trace.ts";
import { generation, replica, replicas } from "./support/cluster.ts";
import { dataFiles, testDataFiles } from "./support/data-driven.ts";
import { Words } from "./support/words.ts";

function configurationIn(words: Words): Configuration {
  const outgoing = words.members("outgoing");
  return {
    voters: words.members("voters") ?? [],
    learners: words.members("learners") ?? [],
    generation: (words.optionNumber("generation") ?? 1) as Generation,
    ...(outgoing === undefined ? {} : { outgoing }),
  };
}

function rolesText(configuration: Configuration): string {
  const roles = [...replicasOf(configuration)].map(([id, storeId]) => {
    const role = isVoter(configuration, id, storeId) ? "votes" : isLearner(configuration, id, storeId) ? "learns" : "";
    return `${Number.parseInt(id, 16)} ${role}`;
  });
  return roles.toSorted().join(", ");
}

/** One configuration that changes step by step, and the log's memory of it. */
class ConfigurationTable {
  #current: Configuration | undefined;
  readonly #history = new ConfigurationHistory([]);

  get #inForce(): Configuration {
    if (this.#current === undefined) throw new Error("no configuration was started with");
    return this.#current;
  }

  #set(configuration: Configuration): string {
    this.#current = configuration;
    // Whatever is in force can be written down and read again.
    expect(decodeConfiguration(encodeConfiguration(configuration))).toEqual(configuration);
    return configurationText(configuration);
  }

  run(name: string, words: Words): string {
    switch (name) {
      case "check":
        return configurationText(checkConfiguration(configurationIn(words)));
      case "start":
        return this.#set(checkConfiguration(configurationIn(words)));
      case "change": {
        const target = checkConfiguration(configurationIn(words));
        return sameConfiguration(this.#inForce, target)
          ? "in force already"
          : this.#set(firstStep(this.#inForce, target));
      }
      case "leave":
        return this.#set(leaveJoint(this.#inForce));
      case "roles":
        return rolesText(this.#inForce);
      default:
        return this.#remember(name, words);
    }
  }

  #remember(name: string, words: Words): string {
    const history = this.#history;
    switch (name) {
      case "push":
        history.push(words.number(0), this.#inForce);
        break;
      case "truncate":
        if (!history.truncate(words.number(0))) return "nothing changed";
        break;
      case "compact":
        history.compact(words.number(0));
        break;
      case "at":
        return optionalText(history.at(words.number(0)));
      case "previous":
        return optionalText(history.previous);
      default:
        throw new Error(`"${name}" is no command`);
    }
    return `${history.currentIndex}: ${optionalText(history.current)}`;
  }
}

function optionalText(configuration: Configuration | undefined): string {
  return configuration === undefined ? "none" : configurationText(configuration);
}

/** Runs a command per line; a refusal is an answer. */
function lineByLine(run: (name: string, words: Words) => string): (lines: readonly string[]) => string {
  const answer = (line: string): string => {
    const [name = "", ...words] = line.split(" ");
    try {
      return run(name, new Words(words));
    } catch (error) {
      if (isFabricError(error, "FABRIC_INVALID_VALUE"))
        return `refused: ${error.message.replaceAll(/"0{32,}([0-9a-f]+)"/g, "node $1")}`;
      throw error;
    }
  };
  return (lines) => lines.map(answer).join("\n");
}

/** Answers by node, in the order of the numbers of all voters: `_` where there is none. */
function answersOf<V>(configuration: Configuration, words: Words, parse: (text: string) => V): Map<string, V> {
  const ids = new Set([...configuration.voters, ...(configuration.outgoing ?? [])].map(({ id }) => id));
  const answers = words.list("answers") ?? [];
  expect(answers).toHaveLength(ids.size);
  const known = [...ids]
    .toSorted()
    .flatMap((id, at) => (answers[at] === "_" ? [] : [[id, parse(answers[at]!)] as const]));
  return new Map(known);
}

/** The two halves the other way round: what they agree to is the same. */
function swapped(configuration: Configuration): Configuration {
  const { voters, outgoing = voters } = configuration;
  return { ...configuration, voters: outgoing, outgoing: voters };
}

function quorumTable(name: string, words: Words): string {
  const configuration = configurationIn(words);
  if (name === "committed") {
    const indexes = answersOf(configuration, words, Number);
    const valueOf = ({ id }: ReplicaId): number => indexes.get(id) ?? 0;
    const value = quorumValue(configuration, valueOf);
    expect(quorumValue(swapped(configuration), valueOf)).toBe(value);
    return `${value}`;
  }
  if (name !== "vote") throw new Error(`"${name}" is no command`);
  const votes = answersOf(configuration, words, (text) => text === "y");
  const voteOf = ({ id }: ReplicaId): boolean | undefined => votes.get(id);
  const result = voteResult(configuration, voteOf);
  expect(voteResult(swapped(configuration), voteOf)).toBe(result);
  return result;
}

describe("configurations", () => {
  testDataFiles("configuration", () => {
    const table = new ConfigurationTable();
    return lineByLine((name, words) => table.run(name, words));
  });

  test("have a table for each kind of change", () => {
    expect(dataFiles("configuration")).toEqual([
      "history",
      "joint-autoleave",
      "joint-idempotency",
      "joint-learners-next",
      "joint-safety",
      "simple-idempotency",
      "simple-promote-demote",
      "simple-safety",
      "update",
      "zero",
    ]);
  });
});

describe("quorums", () => {
  testDataFiles("quorum", () => lineByLine(quorumTable));

  test("have a table for commits and votes, of one majority and of two", () => {
    expect(dataFiles("quorum")).toEqual(["joint-commit", "joint-vote", "majority-commit", "majority-vote"]);
  });

  const half = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
  const configurations = fc
    .record({ voters: half, outgoing: fc.option(half, { nil: undefined }) })
    .map(({ voters, outgoing }): Configuration => ({
      voters: replicas(...voters),
      learners: [],
      generation: generation(1),
      ...(outgoing === undefined ? {} : { outgoing: replicas(...outgoing) }),
    }));

  function isMajority(voters: readonly ReplicaId[], agrees: (voter: ReplicaId) => boolean): boolean {
    return voters.filter(agrees).length * 2 > voters.length;
  }

  function agree({ voters, outgoing = voters }: Configuration, agrees: (voter: ReplicaId) => boolean): boolean {
    return isMajority(voters, agrees) && isMajority(outgoing, agrees);
  }

  test("have committed exactly what a majority of each half has reached", () => {
    const indexes = fc.array(fc.nat(6), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(configurations, indexes, (configuration, reached) => {
        const valueOf = ({ id }: ReplicaId): number => reached[Number(`0x${id}`) - 1] as number;
        const possible = [...reached, 0].filter((index) => agree(configuration, (voter) => valueOf(voter) >= index));
        expect(quorumValue(configuration, valueOf)).toBe(Math.max(...possible));
      }),
      { seed: 3, numRuns: 2000 },
    );
  });

  test("have decided exactly when no answer that is still open could change it", () => {
    const votes = fc.array(fc.option(fc.boolean(), { nil: undefined }), { minLength: 7, maxLength: 7 });
    fc.assert(
      fc.property(configurations, votes, (configuration, given) => {
        const outcomes = new Set<boolean>();
        for (let completion = 0; completion < 2 ** 7; completion += 1) {
          outcomes.add(
            agree(configuration, ({ id }) => {
              const at = Number(`0x${id}`) - 1;
              return given[at] ?? ((completion >> at) & 1) === 1;
            }),
          );
        }
        const expected: VoteResult = outcomes.size > 1 ? "pending" : outcomes.has(true) ? "won" : "lost";
        expect(voteResult(configuration, ({ id }) => given[Number(`0x${id}`) - 1])).toBe(expected);
      }),
      { seed: 5, numRuns: 1000 },
    );
  });

  test("count a store, not an address: what a wiped disk says is not the old voter's word", () => {
    const configuration: Configuration = { voters: replicas(1, 2, 3), learners: [], generation: generation(1) };
    expect(isVoter(configuration, replica(3).id, replica(3).storeId)).toBe(true);
    expect(isVoter(configuration, replica(3, 1).id, replica(3, 1).storeId)).toBe(false);
  });
});
