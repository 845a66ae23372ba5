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
  'src/emulator',
  'src/ledger',
  'src/storage',
  'src/webhook',
  'test/e2e',
  'test/property',
  'test/replay',
  'test/soak',
  'test/unit',
  'test/workflow',
  'workflows',
];
