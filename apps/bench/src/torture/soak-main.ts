/**
 * `pnpm soak [--minutes 30] [--rate 2000] [--samples 30] [--json FILE]`: steady load on three processes, and whether what they hold
 * grows with what they have done.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { bounded, inScratch, wholeNumber } from "./scratch.ts";
import type { Fit } from "./slope.ts";
import { soak, type SoakFigures } from "./soak.ts";

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function interval({ slope, low, high }: Fit): string {
  return `${slope.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function print(figures: SoakFigures): void {
  say("");
  say(
    `${figures.commits} commits of 256 B, ${Math.round(figures.commitsPerSecond)}/s, ${figures.failed} failed, ${figures.cpuCores.toFixed(2)} cores`,
  );
  say("| process | role | heap, B per commit (95 %) | resident, B per commit (95 %) | samples | files | verdict |");
  say("|---|---|---:|---:|---:|---:|---|");
  for (const { name, role, heap, resident, samples, verdict } of figures.processes) {
    const files = samples.at(-1)?.descriptors ?? 0;
    say(`| ${name} | ${role} | ${interval(heap)} | ${interval(resident)} | ${heap.count} | ${files} | ${verdict} |`);
  }
  for (const { name, findings } of figures.processes) for (const finding of findings) say(`WRONG: ${name}: ${finding}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string", default: "30" },
      rate: { type: "string", default: "2000" },
      samples: { type: "string", default: "30" },
      json: { type: "string" },
    },
  });
  const minutes = wholeNumber("minutes", values.minutes, { from: 1, to: 24 * 60 });
  const rate = wholeNumber("rate", values.rate, { from: 1, to: 100_000 });
  const samples = wholeNumber("samples", values.samples, { from: 25, to: 10_000 });
  await bounded(minutes + 5, async (signal) => {
    const figures = await inScratch("soak", (directory) =>
      soak({ directory, minutes, rate, samples, signal, report: say }),
    );
    print(figures);
    const good = figures.processes.every(({ verdict, findings }) => verdict === "within" && findings.length === 0);
    // On a busy host a leader may lose its place: that writes fail then says nothing about memory.
    if (figures.failed > 0) say(`${figures.failed} of ${figures.commits} writes failed`);
    say(
      `verdict: ${good ? "within" : "not within"} ${figures.aimBytesPerCommit} B per commit, files and handles included`,
    );
    if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, undefined, 2)}\n`);
    return good;
  });
}

await main();
