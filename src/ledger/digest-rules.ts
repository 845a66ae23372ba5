import { LIST_PAGE } from '../storage/asset-store.js';

/** When an hour of announcements is digested, and what makes its digest complete. */
export interface DigestRules {
  /** An hour with at most so many names is listed: that is one request, as reading its digest is. */
  readonly pageNames: number;
  /** After the end of an hour, before its names are listed for its digest. */
  readonly digestAfterMs: number;
  /**
   * An announcement must be in its hour so soon, by the store's clock, or its purchase is not recorded. The rest of
   * `digestAfterMs` is for a store that lists late.
   */
  readonly announcedWithinMs: number;
}

export const DIGEST_RULES: DigestRules = {
  pageNames: LIST_PAGE,
  digestAfterMs: 3_600_000,
  announcedWithinMs: 60_000,
};
