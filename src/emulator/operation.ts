/** Kind of request. */
export type Operation = 'submit' | 'query' | 'list' | 'cancel' | 'upload' | 'policy' | 'download';

export const OPERATIONS: readonly Operation[] = ['submit', 'query', 'list', 'cancel', 'upload', 'policy', 'download'];
