import type { ShapeFault } from './shape-rules.js';

/**
 * Folders and files whose faults of a kind are still to be fixed, which the shape test leaves out. A line goes as soon as its folder
 * is clean; the lists are meant to become empty.
 */
export const UNFINISHED: Readonly<Record<ShapeFault['kind'], readonly string[]>> = {
  'long file': ['workflows', 'src/client', 'src/dashscope', 'src/ledger', 'src/polling'],
  'wide line': ['activities', 'bench', 'docker', 'docs', 'scripts', 'src', 'test', 'vitest.config.ts', 'workflows'],
  'spread literal': ['activities', 'bench', 'scripts', 'src', 'test', 'workflows'],
};
