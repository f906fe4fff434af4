import type { LogFields, Logger } from "@revoada/fabric";

/** A logger that keeps the reasons of what it is warned of. */
export class Complaints implements Logger {
  readonly warnings: string[] = [];

  debug(): void {}
  info(): void {}

  warn(_message: string, fields?: LogFields): void {
    this.warnings.push(String(fields?.["reason"]));
  }

  error(message: string): void {
    throw new Error(message);
  }

  child(): Logger {
    return this;
  }
}
