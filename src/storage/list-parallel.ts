import { mapParallel } from '../async/map-parallel.js';
import { type AssetInfo, type AssetStore, LIST_PAGE, type StoreOptions } from './asset-store.js';

/** Ranges that are listed together. */
const RANGES_AT_ONCE = 8;
/** Where the ranges begin: hashes and random ids are spread evenly over them, and every other name is in one. */
const BOUNDS = ['', ...'0123456789abcdef'];

/**
 * Lists a prefix as the store does, in ascending order, and what does not fit on one page in ranges at once: a page can
 * only be requested once the one before it is there. For names below the prefix that begin with a hash or a random id.
 */
export async function* listParallel(
  store: AssetStore,
  prefix: string,
  options: StoreOptions = {},
): AsyncGenerator<AssetInfo> {
  let listed = 0;
  let last = '';
  for await (const info of store.list(prefix, options)) {
    yield info;
    listed += 1;
    last = info.key;
    if (listed === LIST_PAGE) break;
  }
  if (listed < LIST_PAGE) return;
  const ranges = BOUNDS.map((bound, index) => ({ from: prefix + bound, to: BOUNDS[index + 1] }));
  const rest = ranges.filter(({ to }) => to === undefined || prefix + to > last);
  const found = mapParallel(rest, RANGES_AT_ONCE, async ({ from, to }) => {
    const infos: AssetInfo[] = [];
    for await (const info of store.list(prefix, { ...options, after: from > last ? from : last })) {
      if (to !== undefined && info.key > prefix + to) break;
      infos.push(info);
    }
    return infos;
  });
  for await (const infos of found) yield* infos;
}
