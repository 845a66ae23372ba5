import { failure } from './failures.js';

/**
 * Fails a run whose input is not one that this program starts it with. An error while it is read would be repeated for
 * ever instead.
 * @throws ApplicationFailure `InvalidRequest`.
 */
export function requireInput(isWellFormed: boolean): void {
  if (isWellFormed) return;
  throw failure({
    type: 'InvalidRequest',
    message: 'The input of this workflow is malformed',
    billed: false,
    next_step: 'Nothing was done. The programs of this product start the workflow when it is needed.',
  });
}
