/** Exit codes of the command, as published. */
export const ExitCode = { done: 0, failed: 1, invalid: 2, unreachable: 3, budget: 4, cancelled: 130 } as const;
