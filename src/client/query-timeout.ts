/**
 * Longest wait for the answer to a query, in milliseconds. A worker answers within milliseconds; without one Temporal
 * holds the query for ten seconds and more, and nobody should wait that long for a line of progress.
 */
export const QUERY_TIMEOUT_MS = 5_000;
