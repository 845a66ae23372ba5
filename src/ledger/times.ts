/** Every time of buying once, in milliseconds. Tests shorten them; the shipped values are tested once. */
export interface LedgerTimes {
  /** A POST begins at most this long after the write of its intent began, by the poster's own clocks. */
  readonly postWithinMs: number;
  /** Longest POST; a whole submit is over `postWithinMs + postMs` after its intent. Equal to the client's bound. */
  readonly postMs: number;
  /** From the moment at which a follower first sees an intent until the intent counts as abandoned. */
  readonly submitBoundMs: number;
  /** How long a submit tries to write its claim before it returns the task id without it. */
  readonly claimMs: number;
  /** Between two reads of a follower. */
  readonly followEveryMs: number;
  /** Between two reads of a follower whose purchase waits for a person. */
  readonly parkedEveryMs: number;
  /** How far the provider's clock may be from the one that dated the intent, either way. */
  readonly clockSkewMs: number;
  /** Between two listings (and queries of candidates) of a reconciliation. */
  readonly listEveryMs: number;
  /** Nothing was created when this many complete listings in a row show nothing … */
  readonly emptyListings: number;
  /** … and the first and the last of them are this far apart. */
  readonly emptySpanMs: number;
  /** Listings that fail in a row before the list counts as refused. */
  readonly listFaultsMax: number;
  /** Queries in a row that deny a listed task before it counts as unreadable. */
  readonly unknownAnswersMax: number;
  /** An attempt older than this is not decided by the list, which shows 24 hours. */
  readonly decideWithinMs: number;
  /** How long the provider keeps a task and its result. */
  readonly resultLifeMs: number;
}

export const DEFAULT_LEDGER_TIMES: LedgerTimes = {
  postWithinMs: 5_000, // a store write takes below 1 s; 5 s is a bad moment, more is a stalled process
  postMs: 20_000, // the client's bound on the whole call
  submitBoundMs: 60_000, // 5 s + 20 s, and as much again for the claim and for scheduling
  claimMs: 3_000, // 5 s before, 20 s POST, 3 s claim: below the step's start-to-close of 30 s
  followEveryMs: 2_000, // a claim appears some 0.2 s after its intent; one list and two reads each time
  parkedEveryMs: 15_000, // a person takes minutes
  clockSkewMs: 120_000, // machines under NTP differ by far less; public clients of this provider use two minutes
  listEveryMs: 20_000, // three listings a minute of the account's 20 requests per second
  emptyListings: 3,
  emptySpanMs: 60_000, // longer than any lag of the list that was reported
  listFaultsMax: 6, // two minutes: one 401, 429 or reset decides nothing
  unknownAnswersMax: 6, // two minutes: a fresh task may be listed before it can be queried
  decideWithinMs: 82_800_000, // 23 h: one hour is left to list, watch and archive
  resultLifeMs: 86_400_000, // 24 h, image-to-video API reference
};
