/**
 * Scuttlebutt state exchange with phi-accrual failure detection.
 *
 * @packageDocumentation
 */
export {};
