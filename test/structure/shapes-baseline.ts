import type { ShapeFault } from './shape-rules.js';

/**
 * Folders and files whose faults of a kind are still to be fixed, which the shape test leaves out. A line goes as soon
 * as its folder is clean; the lists are meant to become empty.
 */
export const UNFINISHED: Readonly<Record<ShapeFault['kind'], readonly string[]>> = {
  'long file': [],
  'wide line': [],
  'spread literal': [],
};
