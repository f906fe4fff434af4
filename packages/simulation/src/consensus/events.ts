/** Reads a list of planned events as people write it: `3,7,12-20`. Undefined where it is none. */
export function parseEvents(text: string): readonly number[] | undefined {
  const events: number[] = [];
  if (text === "") return events;
  for (const part of text.split(",")) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part);
    if (match === null) return undefined;
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (to < from) return undefined;
    for (let event = from; event <= to; event += 1) events.push(event);
  }
  return events;
}

/** Writes a list of planned events as {@link parseEvents} reads it. */
export function formatEvents(events: readonly number[]): string {
  const parts: string[] = [];
  for (let at = 0; at < events.length;) {
    const from = events[at] as number;
    let end = at;
    while (events[end + 1] === from + (end + 1 - at)) end += 1;
    parts.push(end - at < 2 ? events.slice(at, end + 1).join() : `${from}-${events[end]}`);
    at = end + 1;
  }
  return parts.join();
}
