/** The message of an error and that of its cause, in which a server's answer is. */
export const textOf = (error: unknown): string =>
  error instanceof Error
    ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`
    : String(error);
