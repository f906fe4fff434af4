/** A stream message travels in segments of exactly this size, the last one aside. */
export const segmentBytes: number = 64 * 1024;

/** What a segment costs beyond its payload, so that empty ones are not free. */
const segmentOverheadBytes = 64;

/** Credit that one segment uses up. */
export function segmentCost(payloadBytes: number): number {
  return payloadBytes + segmentOverheadBytes;
}

/** Credit that a whole message uses up; an empty one is one empty segment. */
export function messageCost(totalBytes: number): number {
  return totalBytes + segmentOverheadBytes * Math.max(1, Math.ceil(totalBytes / segmentBytes));
}
