/**
 * For a test or a hook that downloads or compiles, in milliseconds. How long that takes is the machine's and the
 * network's affair, so the bound only ends a process that hangs; it is no claim about speed.
 */
export const COMPILE_TIMEOUT_MS = 600_000;
