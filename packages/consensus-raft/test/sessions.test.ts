import { expect, test } from "vitest";
import type { Committed } from "@revoada/fabric";
import { forwardProtocol, type Session, type SessionedConsensus } from "@revoada/consensus-raft";
import { encodeEnvelope, type CommandHeader } from "../src/sessions/core/envelope.ts";
import { decodeOutcomes, encodeForward, type ForwardedOutcome } from "../src/wire/forward.ts";
import { textCodec, World, type Member, type MemberOptions } from "./support/replicas.ts";

const noGroup = new Uint8Array(0);
const withSessions: MemberOptions = { sessions: {} };

function log(member: Member): SessionedConsensus<string, string> {
  return member.consensus as SessionedConsensus<string, string>;
}

async function opened(world: World, member: Member): Promise<Session<string, string>> {
  return world.run(log(member).openSession({ timeoutMs: 20_000 }));
}

/** Sends bytes to `to` as another replica would, so that a test may say everything twice. */
async function forwardTo(world: World, from: Member, to: Member, payload: Uint8Array): Promise<ForwardedOutcome> {
  const request = encodeForward(noGroup, { type: "propose", timeoutMs: 5000, commands: [payload] });
  const answer = await world.run(from.transport.request(to.id, forwardProtocol, request));
  return decodeOutcomes(answer, noGroup, 1)[0]!;
}

function commandBytes(header: CommandHeader, text: string): Uint8Array {
  return encodeEnvelope({ kind: "command", ...header, command: textCodec.encodeCommand(text) });
}

test("commands of a session are applied in a group with sessions, beside plain ones, on every replica", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, world.member(2));
  const first = await world.run(session.propose("a"));
  const plain = await world.run(one.consensus.propose("b"));
  const second = await world.run(session.propose("c"));
  expect([first.result, plain.result, second.result]).toEqual(["1:a", "2:b", "3:c"]);
  expect(first.index).toBeGreaterThan(session.id);
  await world.until(() => [1, 2, 3].every((n) => world.member(n).machine.commands.length === 3));
  await world.stop();
});

test("a command that arrives twice is applied once, and both are told of that one time", async () => {
  const world = new World();
  const one = await world.form([1, 2, 3], () => withSessions);
  const session = await opened(world, one);
  const bytes = commandBytes({ session: session.id, sequence: 1, acknowledged: 0 }, "once");
  const first = await forwardTo(world, world.member(2), one, bytes);
  const again = await forwardTo(world, world.member(3), one, bytes);
  expect(one.machine.commands).toEqual(["once"]);
  const told: Committed<string> = await world.run(session.propose("once"));
  expect([first.ok && first.index, told.result]).toEqual([told.index, "1:once"]);
  expect(again.ok).toBe(true);
  await world.stop();
});
