/** What was aimed at, and what came of it. */
export interface Aim {
  readonly aim: string;
  readonly measured: string;
  /** Undefined where it was not measured. */
  readonly met: boolean | undefined;
}

/** An aim, held against what was measured. */
export function aimOf(
  aim: string,
  value: number | undefined,
  show: (value: number) => string,
  met: (value: number) => boolean,
): Aim {
  if (value === undefined || !Number.isFinite(value)) return { aim, measured: "–", met: undefined };
  return { aim, measured: show(value), met: met(value) };
}
