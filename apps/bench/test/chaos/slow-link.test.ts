import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { seededRandom } from "@revoada/fabric/memory";
import { SlowLink } from "../../src/chaos/slow-link.ts";

test("a slow link hands on every byte in order, whatever each piece waits, both ways, and its end", async () => {
  // Echoes until the other side has ended.
  const server = createServer((socket) => void socket.pipe(socket));
  onTestFinished(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const random = seededRandom(1);
  using link = await SlowLink.open(
    "127.0.0.1",
    { host: "127.0.0.1", port },
    { delay: { oneWayMs: 4, jitterMs: 4 }, random: () => random.float() },
  );
  const socket: Socket = connect({ host: "127.0.0.1", port: link.port, noDelay: true });
  const words = Array.from({ length: 200 }, (_, at) => `${at};`);
  let back = "";
  socket.on("data", (piece: Buffer) => (back += piece.toString("utf8")));
  for (const word of words)
    await new Promise<void>((resolve) => {
      socket.write(word, () => resolve());
    });
  socket.end();
  await once(socket, "close");
  expect(back).toBe(words.join(""));
});
