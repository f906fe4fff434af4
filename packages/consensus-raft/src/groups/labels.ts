import type { Metrics } from "@revoada/fabric";

/** Metrics of one group beside those of others: every one bears its label. */
export function labelled(metrics: Metrics, own: Readonly<Record<string, string>>): Metrics {
  return {
    count: (name, value, labels) => metrics.count(name, value, { ...own, ...labels }),
    gauge: (name, value, labels) => metrics.gauge(name, value, { ...own, ...labels }),
    observe: (name, value, labels) => metrics.observe(name, value, { ...own, ...labels }),
  };
}
