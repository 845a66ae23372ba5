import { inspectMp4, rejectedMp4 } from '../../src/media/mp4.js';
import type { MeasuredMp4 } from '../../src/media/mp4-measure.js';

/** Measures a file that passes every check; rejects with the first fault of another one. */
export async function measureMp4(file: string): Promise<MeasuredMp4> {
  const { measured, fault } = await inspectMp4(file);
  if (measured === undefined || fault !== undefined) throw rejectedMp4(fault ?? '');
  return measured;
}
