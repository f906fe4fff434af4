import { monitorEventLoopDelay } from "node:perf_hooks";
import type { MetricsRegistry } from "./metrics.ts";

/** Adds what every process can say of itself; the returned function stops measuring. */
export function measureProcess(
  metrics: MetricsRegistry,
  facts: { readonly version: string; readonly startedMs: number },
): () => void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  let countedSeconds = 0;
  metrics.collect((page) => {
    const { rss, heapUsed, external } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    page.gauge("revoada_build_info", 1, { version: facts.version, node: process.version });
    page.gauge("process_start_time_seconds", facts.startedMs / 1000);
    page.gauge("process_resident_memory_bytes", rss);
    const cpuSeconds = (user + system) / 1e6;
    page.count("process_cpu_seconds_total", cpuSeconds - countedSeconds);
    countedSeconds = cpuSeconds;
    page.gauge("nodejs_heap_used_bytes", heapUsed);
    page.gauge("nodejs_external_memory_bytes", external);
    page.gauge("nodejs_event_loop_delay_p99_ms", delay.percentile(99) / 1e6);
    page.gauge("nodejs_event_loop_delay_max_ms", delay.max / 1e6);
    delay.reset();
  });
  return () => delay.disable();
}
