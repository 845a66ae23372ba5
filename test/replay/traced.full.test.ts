import { expect, test } from 'vitest';
import { tracedBundle } from '../support/traced-bundle.js';
import { committedPaths } from './history-file.js';
import { replay } from './replay-histories.js';

test('every history replays on the code of a worker that traces: tracing may be turned on and off', async () => {
  expect(await replay(await tracedBundle(), committedPaths())).toEqual({});
}, 300_000);
