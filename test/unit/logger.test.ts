import { expect, test } from 'vitest';
import { lineForPeople, redacted } from '../../src/worker/logger.js';

test('a link or a token in quotes is blanked, and the log line stays readable', () => {
  const error = new Error('cannot read "https://a.example/x.png?Signature=abc" with "Bearer sk-0123456789" now');
  const line = redacted({ error, attempt: 1, bytes: 5n, nested: { url: '"https://u:p@h.example/?q=1"' } });
  expect(line).toMatchObject({ attempt: 1, bytes: '5', nested: { url: '"https://[redacted]@h.example/?[redacted]"' } });
  expect(line['error']).toContain('cannot read "https://a.example/x.png?[redacted]" with "Bearer [secret]" now');
});

const OF_A_RUN = {
  level: 30,
  time: 0,
  namespace: 'default',
  taskQueue: 'video-generate',
  runId: 'r',
  workflowType: 'videoGenerate',
  workflowId: 'video/0a1b',
};
test.each([
  {
    what: 'a transition',
    line: { ...OF_A_RUN, msg: 'stage rendering', stage: 'rendering', taskId: 't-1', attempt: 1 },
    text: 'video/0a1b: stage rendering, task t-1',
  },
  {
    what: 'an end of a second attempt',
    line: { ...OF_A_RUN, msg: 'stage done', stage: 'done', attempt: 2, source: 'generated', billedSeconds: 4 },
    text: 'video/0a1b: stage done (attempt 2, source generated, billedSeconds 4)',
  },
  {
    what: 'a failed step',
    line: { ...OF_A_RUN, msg: 'Activity failed', activityType: 'pollTask', error: 'Error: gone\n    at here' },
    text: 'video/0a1b: Activity failed (activityType pollTask)\n    Error: gone\n        at here',
  },
  { what: 'a text alone', line: { level: 40, time: 0, msg: 'something is odd' }, text: 'something is odd' },
])('on a terminal $what is one line with its run and task, and an error below', ({ line, text }) => {
  expect(lineForPeople(line)).toBe(text);
});
