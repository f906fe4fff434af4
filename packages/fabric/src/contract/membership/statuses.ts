import { check, equal } from "../case.ts";
import { type Body, ChangeReader, nodeAt, othersThan, seenBy, statusOf, untilAllAlive, untilStatus } from "./kit.ts";

/** Life, death and leaving. */
export const statusCases: Readonly<Record<string, Body>> = {
  "a killed node is dead on closed evidence everywhere, and nobody else is accused": async (fixture) => {
    await untilAllAlive(fixture);
    const victim = nodeAt(fixture, 4);
    const others = othersThan(fixture, victim);
    const readers = others.map((id) => new ChangeReader(fixture.member(id), fixture.time));
    await fixture.kill(victim);
    await untilStatus(fixture, others, victim, "dead");
    for (const id of others) {
      equal(seenBy(fixture, id, victim)?.evidence, "closed", "the evidence");
      for (const other of others) equal(statusOf(fixture, id, other), "alive", "the status of a living node");
    }
    for (const reader of readers) {
      for (const id of others)
        equal(
          reader.statusesOf(id).filter((status) => status !== "alive"),
          [],
          "what was said of the living",
        );
      await reader.stop();
    }
  },

  "a silent node is suspected first and dead on silent evidence later": async (fixture) => {
    await untilAllAlive(fixture);
    const victim = nodeAt(fixture, 4);
    const others = othersThan(fixture, victim);
    const reader = new ChangeReader(fixture.member(nodeAt(fixture, 0)), fixture.time);
    fixture.silence(victim);
    await untilStatus(fixture, others, victim, "dead");
    for (const id of others) equal(seenBy(fixture, id, victim)?.evidence, "silent", "the evidence");
    await fixture.time.until(() => reader.statusesOf(victim).includes("dead"));
    const statuses = reader.statusesOf(victim).filter((status) => status !== "alive");
    equal([...new Set(statuses)], ["suspect", "dead"], "the order of what was said");
    check(fixture.member(nodeAt(fixture, 0)).phi(victim) >= 0, "phi below 0");
    await reader.stop();
  },

  "phi grows with silence": async (fixture) => {
    await untilAllAlive(fixture);
    const [observer, victim] = [nodeAt(fixture, 0), nodeAt(fixture, 4)];
    const before = fixture.member(observer).phi(victim);
    fixture.silence(victim);
    await untilStatus(fixture, [observer], victim, "suspect");
    const after = fixture.member(observer).phi(victim);
    check(after > before, `phi is ${after} for a suspect, it was ${before} before`);
  },

  "a suspect that is heard again is alive, and was never dead": async (fixture) => {
    await untilAllAlive(fixture);
    const [observer, victim] = [nodeAt(fixture, 0), nodeAt(fixture, 4)];
    const reader = new ChangeReader(fixture.member(observer), fixture.time);
    fixture.silence(victim);
    await untilStatus(fixture, [observer], victim, "suspect");
    fixture.heal();
    await untilAllAlive(fixture);
    equal(reader.statusesOf(victim).includes("dead"), false, "dead in between");
    await reader.stop();
  },

  "a node that was taken for dead in silence comes back by itself": async (fixture) => {
    await untilAllAlive(fixture);
    const victim = nodeAt(fixture, 4);
    fixture.silence(victim);
    await untilStatus(fixture, othersThan(fixture, victim), victim, "dead");
    fixture.heal();
    await untilAllAlive(fixture);
    equal(seenBy(fixture, nodeAt(fixture, 0), victim)?.evidence, undefined, "evidence of the death of the living");
  },

  "a restarted node is alive in a newer generation": async (fixture) => {
    await untilAllAlive(fixture);
    const victim = nodeAt(fixture, 4);
    const others = othersThan(fixture, victim);
    const before = seenBy(fixture, nodeAt(fixture, 0), victim)?.generation ?? 0;
    await fixture.kill(victim);
    await untilStatus(fixture, others, victim, "dead");
    await fixture.restart(victim);
    await untilAllAlive(fixture);
    for (const id of fixture.ids) {
      const generation = seenBy(fixture, id, victim)?.generation ?? 0;
      check(generation > before, `generation ${generation}, it was ${before} before`);
    }
  },

  "what a node says after its restart replaces what it said before": async (fixture) => {
    await untilAllAlive(fixture);
    const [observer, victim] = [nodeAt(fixture, 0), nodeAt(fixture, 4)];
    for (let count = 0; count < 20; count += 1) fixture.member(victim).set("life", `first ${count}`);
    await fixture.time.until(() => seenBy(fixture, observer, victim)?.keys.get("life") === "first 19");
    await fixture.kill(victim);
    await fixture.restart(victim);
    fixture.member(victim).set("life", "second");
    await fixture.time.until(() =>
      othersThan(fixture, victim).every((id) => seenBy(fixture, id, victim)?.keys.get("life") === "second"),
    );
  },

  "a node that leaves has left, and is no failure to anybody": async (fixture) => {
    await untilAllAlive(fixture);
    const leaver = nodeAt(fixture, 4);
    const others = othersThan(fixture, leaver);
    const reader = new ChangeReader(fixture.member(nodeAt(fixture, 0)), fixture.time);
    await fixture.time.run(fixture.member(leaver).leave({ timeoutMs: 2000 }));
    await fixture.time.run(fixture.member(leaver).shutdown());
    await untilStatus(fixture, others, leaver, "left");
    for (const id of others) equal(seenBy(fixture, id, leaver)?.evidence, undefined, "evidence of a death");
    equal(
      reader.statusesOf(leaver).filter((status) => status !== "left" && status !== "alive"),
      [],
      "what was said of it",
    );
    await reader.stop();
  },

  "a node that has left may come back": async (fixture) => {
    await untilAllAlive(fixture);
    const leaver = nodeAt(fixture, 4);
    await fixture.time.run(fixture.member(leaver).leave({ timeoutMs: 2000 }));
    await fixture.time.run(fixture.member(leaver).shutdown());
    await untilStatus(fixture, othersThan(fixture, leaver), leaver, "left");
    await fixture.restart(leaver);
    await untilAllAlive(fixture);
  },

  "a forgotten member is gone from the view, and old news of others does not bring it back": async (fixture) => {
    await untilAllAlive(fixture);
    const victim = nodeAt(fixture, 4);
    const [observer, ...others] = othersThan(fixture, victim);
    if (observer === undefined) return;
    await fixture.kill(victim);
    await untilStatus(fixture, [observer, ...others], victim, "dead");
    const reader = new ChangeReader(fixture.member(observer), fixture.time);
    fixture.member(observer).forget(victim);
    equal(seenBy(fixture, observer, victim), undefined, "the forgotten member");
    await fixture.time.until(() =>
      reader.changes.some((change) => change.type === "forgotten" && change.id === victim),
    );
    // The others still know it, and go on telling: let as much gossip pass as carries a word to everybody, several times.
    for (const word of ["one", "two", "three"]) {
      for (const id of others) fixture.member(id).set("word", word);
      await fixture.time.until(() => others.every((id) => seenBy(fixture, observer, id)?.keys.get("word") === word));
    }
    equal(seenBy(fixture, observer, victim), undefined, "the forgotten member, later");
    await reader.stop();
  },

  "a minority that is cut off takes the others for gone, and all find together again": async (fixture) => {
    await untilAllAlive(fixture);
    const lonely = nodeAt(fixture, 4);
    fixture.silence(lonely);
    await fixture.time.until(() =>
      othersThan(fixture, lonely).every((id) => statusOf(fixture, lonely, id) !== "alive"),
    );
    for (const id of othersThan(fixture, lonely)) {
      for (const other of othersThan(fixture, lonely))
        equal(statusOf(fixture, id, other), "alive", "a status in the majority");
    }
    fixture.heal();
    await untilAllAlive(fixture);
  },
};
