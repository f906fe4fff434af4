import { RepeatedLines, type LogFields, type Logger } from "@revoada/fabric";
import { virtualClock } from "@revoada/fabric/memory";
import { expect, test } from "vitest";

/** Lines over a virtual clock, and what was written. */
function desk(options: { readonly maxPeers?: number } = {}) {
  const clock = virtualClock();
  const written: (readonly [string, string, LogFields])[] = [];
  const say =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void written.push([level, message, fields] as const);
  const logger: Logger = {
    debug: say("debug"),
    info: say("info"),
    warn: say("warn"),
    error: say("error"),
    child: () => logger,
  };
  return { clock, written, lines: new RepeatedLines({ logger, clock, everyMs: 1_000, ...options }) };
}

test("a line about one peer is written once, then counted, and written again with the count after a while", () => {
  const { clock, written, lines } = desk();
  for (let times = 0; times < 1_000; times += 1) lines.write("warn", "refused", "a", { times });
  expect(written).toEqual([["warn", "refused", { times: 0 }]]);
  clock.advance(999);
  lines.write("warn", "refused", "a", { times: 1_000 });
  expect(written).toHaveLength(1);
  clock.advance(1);
  lines.write("warn", "refused", "a", { times: 1_001 });
  lines.write("warn", "refused", "a", { times: 1_002 });
  expect(written.slice(1)).toEqual([["warn", "refused", { times: 1_001, repeated: 1_000 }]]);
});

test("another peer, another message and another kind are written by themselves, and what is rare as it is", () => {
  const { clock, written, lines } = desk();
  lines.write("warn", "refused", "a", {}, "signature");
  lines.write("warn", "refused", "b", {}, "signature");
  lines.write("warn", "refused", "a", {}, "equivocation");
  lines.write("error", "refused", "a", {}, "signature");
  lines.write("warn", "broken", "a");
  expect(written).toHaveLength(5);
  clock.advance(1_000);
  lines.write("warn", "broken", "a");
  expect(written.at(-1)).toEqual(["warn", "broken", {}]);
});

test("a crowd of peers is one line at a time, and peers that are quiet make room for others", () => {
  const { clock, written, lines } = desk({ maxPeers: 3 });
  for (let peer = 0; peer < 10_000; peer += 1) lines.write("warn", "refused", `peer ${peer}`, { peer });
  expect(written.map(([, , fields]) => fields)).toEqual([
    { peer: 0 },
    { peer: 1 },
    { peer: 2 },
    { peer: 3, peers: "many" },
  ]);
  clock.advance(1_000);
  lines.write("warn", "refused", "new", { peer: "new" });
  expect(written.at(-1)?.[2]).toEqual({ peer: "new" });
});

test("messages without number take bounded room", () => {
  const { written, lines } = desk();
  for (let message = 0; message < 1_000; message += 1) lines.write("info", `message ${message}`, "a");
  expect(written).toHaveLength(1_000);
  lines.write("info", "message 999", "a");
  expect(written).toHaveLength(1_000);
});
