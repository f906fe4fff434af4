import type { Scope } from "../scope.ts";
import { median } from "../statistics.ts";
import { Pair } from "./pair.ts";

const messages = [65_536, 1_048_576] as const;

/** How one program carried bytes one way: the median of each figure over all rounds. */
export interface BulkStanding {
  readonly bytesPerSecond: number;
  /** CPU seconds of both processes per GiB. */
  readonly cpuSecondsPerGiB: number;
}

/** Bytes one way in messages of one size. */
export interface BulkFigures {
  readonly messageBytes: number;
  readonly transport: BulkStanding;
  readonly bare: BulkStanding;
  /** The transport's rate to the bare program's in the same round, round by round. */
  readonly ratios: readonly number[];
}

async function turn(pair: Pair, messageBytes: number, forMs: number): Promise<BulkStanding> {
  const before = pair.cpuSeconds;
  const { bytes, tookMs } = await pair.bulk(messageBytes, forMs);
  return {
    bytesPerSecond: (bytes * 1000) / tookMs,
    cpuSecondsPerGiB: ((pair.cpuSeconds - before) * 2 ** 30) / bytes,
  };
}

function standing(turns: readonly BulkStanding[]): BulkStanding {
  return {
    bytesPerSecond: median(turns.map(({ bytesPerSecond }) => bytesPerSecond)),
    cpuSecondsPerGiB: median(turns.map(({ cpuSecondsPerGiB }) => cpuSecondsPerGiB)),
  };
}

/** Bytes per second from one process to another beside the bare program. */
export async function measureBulk({ quick, say }: Scope): Promise<readonly BulkFigures[]> {
  await using transport = await Pair.open("transport");
  await using bare = await Pair.open("bare");
  const forMs = quick ? 400 : 1200;
  for (const pair of [transport, bare]) await turn(pair, messages[0], forMs);
  const taken = messages.map(() => ({ transport: [] as BulkStanding[], bare: [] as BulkStanding[] }));
  for (let round = 1; round <= (quick ? 1 : 9); round += 1) {
    for (const [at, messageBytes] of messages.entries()) {
      const [plain, ours] = [await turn(bare, messageBytes, forMs), await turn(transport, messageBytes, forMs)];
      taken[at]?.bare.push(plain);
      taken[at]?.transport.push(ours);
      const told = [plain, ours].map(({ bytesPerSecond }) => Math.round(bytesPerSecond / 1e6));
      say(`round ${round}, messages of ${messageBytes} B: bare ${told[0]} MB/s, transport ${told[1]} MB/s`);
    }
  }
  return messages.map((messageBytes, at) => {
    const { transport: ours, bare: plain } = taken[at] as (typeof taken)[number];
    const ratios = ours.map(({ bytesPerSecond }, round) => bytesPerSecond / (plain[round]?.bytesPerSecond ?? 0));
    return { messageBytes, transport: standing(ours), bare: standing(plain), ratios };
  });
}
