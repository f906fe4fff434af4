/** The last millisecond of the year 9999: no committed time is later. */
export const maxTimeMs = 253_402_300_799_999;
