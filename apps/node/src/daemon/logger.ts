import type { LogFields, Logger } from "@revoada/fabric";
import { pino, type DestinationStream, type Logger as Pino } from "pino";
import type { CliIo } from "../cli/io.ts";
import { oneLine, painter, type Style } from "../cli/output.ts";
import { logLevels, type LogLevel } from "../config/settings.ts";

/** Fields that never show up in a log, wherever they stand. */
const secrets = ["token", "seed", "privateKey", "*.token", "*.seed", "*.privateKey"];

/** A logger that can be told to say more or less, its children with it. */
export interface LeveledLogger extends Logger {
  setLevel(level: LogLevel): void;
}

/** What the loggers of one process have in common. */
interface Gate {
  level: LogLevel;
}

/** Structured logs on stderr: JSON lines, or one readable line each on a terminal. */
export function createLogger(
  io: Pick<CliIo, "stderr" | "environment">,
  level: LogLevel,
  fields: LogFields = {},
): LeveledLogger {
  const lines: DestinationStream = { write: (line) => io.stderr.write(line) };
  const destination = io.stderr.isTerminal ? readableLines(io) : lines;
  const log = pino(
    {
      level: "debug",
      base: { ...fields },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: shownError, cause: shownError },
      redact: { paths: secrets, censor: "[secret]" },
    },
    destination,
  );
  const gate: Gate = { level };
  return {
    ...adapt(log, gate),
    setLevel: (next) => {
      gate.level = next;
    },
  };
}

/** Errors may stand in any field of these names; without this only their own enumerable properties would be shown. */
function shownError(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { code } = value as NodeJS.ErrnoException;
  return code === undefined ? value.message : `${code}: ${value.message}`;
}

/** The level is looked up with each line: children of pino's would keep the one that they were made with. */
function adapt(log: Pino, gate: Gate): Logger {
  const at =
    (level: Exclude<LogLevel, "silent">): Logger["info"] =>
    (message, fields) => {
      if (logLevels.indexOf(level) >= logLevels.indexOf(gate.level)) log[level](fields ?? {}, message);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => adapt(log.child(fields), gate),
  };
}

const levelStyles: Readonly<Record<string, Style>> = { debug: "dim", info: "green", warn: "yellow", error: "red" };

/** Turns JSON lines into `12:34:56.789 info message key=value`. */
function readableLines(io: Pick<CliIo, "stderr" | "environment">): DestinationStream {
  const paint = painter(io.stderr, io.environment);
  return {
    write(line: string): void {
      const { level, time, msg, ...rest } = JSON.parse(line) as Readonly<Record<string, unknown>>;
      const label = String(level);
      const details = Object.entries(rest).map(([key, value]) => `${paint("dim", `${key}=`)}${oneLine(shown(value))}`);
      const clock = String(time).slice(11, 23);
      const text = [
        paint("dim", clock),
        paint(levelStyles[label] ?? "dim", label.padEnd(5)),
        oneLine(String(msg)),
        ...details,
      ];
      io.stderr.write(`${text.join(" ")}\n`);
    },
  };
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}
