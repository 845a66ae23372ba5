/**
 * Folders and files that still hold retired words, which the words test leaves out until they are converted. A line
 * goes as soon as `node scripts/words.mjs <path>` finds nothing there; the list is meant to become empty.
 */
export const ROOMS_NOT_YET_CONVERTED: readonly string[] = [
  'activities',
  'docs/api',
  'docs/emulator.md',
  'docs/operations.md',
  'docs/reference',
  'src/async',
  'src/batch',
  'src/client',
  'src/contract',
  'src/dashscope',
  'src/emulator',
  'src/ledger',
  'src/media',
  'src/metrics',
  'src/polling',
  'src/storage',
  'src/webhook',
  'src/worker',
  'test/e2e',
  'test/property',
  'test/replay',
  'test/soak',
  'test/unit',
  'test/workflow',
  'workflows',
];
