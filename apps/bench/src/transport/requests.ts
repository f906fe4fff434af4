import type { Scope } from "../scope.ts";
import { takeTurns, type Comparison } from "../turns.ts";
import { Pair } from "./pair.ts";

const sizes = [64, 1024, 16_384] as const;
const concurrencies = [1, 16, 64, 256] as const;

/** Requests per second and their latencies beside the bare program, for sizes of payload and callers. */
export async function measureRequests({ quick, say }: Scope): Promise<readonly Comparison[]> {
  await using transport = await Pair.open("transport");
  await using bare = await Pair.open("bare");
  const timing = quick ? { warmUpMs: 100, measureMs: 300 } : { warmUpMs: 300, measureMs: 700 };
  const loads = sizes.flatMap((payloadBytes) => concurrencies.map((callers) => ({ callers, payloadBytes, ...timing })));
  const rounds = quick ? { rounds: 1, withinMs: 60_000 } : { rounds: 5, withinMs: 125_000 };
  return await takeTurns([bare.program(), transport.program()], loads, rounds, say);
}
