import { silentMetrics, type Metrics } from "@revoada/fabric";

/** Metrics of one group beside those of others: every one bears its label. */
export function labelled(metrics: Metrics, own: Readonly<Record<string, string>>): Metrics {
  // Nobody listens: whoever asks that to save work must see it.
  if (metrics === silentMetrics) return metrics;
  return {
    count: (name, value, labels) => metrics.count(name, value, { ...own, ...labels }),
    gauge: (name, value, labels) => metrics.gauge(name, value, { ...own, ...labels }),
    observe: (name, value, labels) => metrics.observe(name, value, { ...own, ...labels }),
  };
}
