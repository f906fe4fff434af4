/** Facts that go with a log line. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured logging. The message is constant text; what varies goes into the fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines carry these fields too. */
  child(fields: LogFields): Logger;
}

/** Metrics with stable names, `revoada_<layer>_<what>_<unit>`. */
export interface Metrics {
  /** Adds to a counter. */
  count(name: string, value?: number, labels?: Readonly<Record<string, string>>): void;
  /** Sets a gauge. */
  gauge(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  /** Records one observation of a histogram. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}

/** Spans around work that crosses layers. */
export interface Tracer {
  span<T>(name: string, attributes: LogFields, body: () => Promise<T>): Promise<T>;
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child() {
    return silentLogger;
  },
};

/** Measures nothing. */
export const silentMetrics: Metrics = { count() {}, gauge() {}, observe() {} };

/** Traces nothing. */
export const silentTracer: Tracer = {
  span(_name, _attributes, body) {
    return body();
  },
};
