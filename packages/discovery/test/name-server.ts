import { createSocket, type Socket } from "node:dgram";
import { decode, encode, type Answer, type Packet } from "dns-packet";

/** What a server says to one question: answers, a code (RFC 1035 §4.1.1), bytes as they are, or nothing. */
export type Reply = readonly Answer[] | number | Uint8Array | "silence";

/** A DNS server on loopback that says what it is told to. */
export class NameServer implements AsyncDisposable {
  readonly questions: string[] = [];
  readonly #socket: Socket = createSocket("udp4");
  readonly #reply: (name: string, type: string) => Reply;

  constructor(reply: (name: string, type: string) => Reply) {
    this.#reply = reply;
    this.#socket.on("message", (bytes, { port, address }) => {
      const answer = this.#answer(decode(bytes));
      if (answer !== undefined) this.#socket.send(answer, port, address);
    });
  }

  /** Resolves with its address, once it listens. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#socket.bind(0, "127.0.0.1", resolve);
    });
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  #answer(query: Packet): Uint8Array | undefined {
    const [question] = query.questions ?? [];
    if (question === undefined) return undefined;
    this.questions.push(`${question.type} ${question.name}`);
    const reply = this.#reply(question.name, question.type);
    if (reply === "silence") return undefined;
    if (reply instanceof Uint8Array) return reply;
    const isCode = typeof reply === "number";
    return encode({
      type: "response",
      ...(query.id === undefined ? {} : { id: query.id }),
      flags: 0x0400 | 0x0080 | (isCode ? reply : 0),
      questions: [question],
      answers: isCode ? [] : [...reply],
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#socket.close(() => resolve());
    });
  }
}
