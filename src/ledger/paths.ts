import { FailureType } from '../contract/failure-type.js';
import type { Purchase } from '../contract/purchase.js';
import { utcHour } from '../contract/utc.js';
import { VideoError } from '../contract/video-error.js';
import { type Scope, safeName } from '../storage/keys.js';

/** Prefix of the records of all accounts. */
export const ALL_LEDGERS = 'ledger/';
/** Purchase keys are hashes in hex, so they are safe names without encoding. */
const PURCHASE_KEY = /^[0-9a-f]{16,128}$/;
/** Every `~` of a safe name is followed by two hex digits, so no encoded task id ends like this. */
const CLOSED_SUFFIX = '~closed';

const RECORD_KEY =
  /^ledger\/([^/]+\/[^/]+)\/(?:tasks\/([^/]+)|purchases\/([0-9a-f]{16,128})\/([1-9]\d{0,8})\/(.+))\.json$/;
const EXTRA_TASK = /^late\/([^/]+?)(~closed)?$/;
const FOUND_TASK = /^found\/([^/]+)$/;
const ANNOUNCEMENT = /\/recent\/[^/]+\/([0-9a-f]{16,128})-([1-9]\d{0,8})(?:~late~([^/]+?))?(~closed)?\.json$/;
const DIGEST = /\/digests\/([^/]+)\/(?:(\d{1,15})-(\d{1,6})-[0-9a-f]{64}|revoked)\.json$/;

/**
 * Where the records of one account are: the key layout of the ledger, which no other file knows. `docs/ledger.md`
 * describes the records. A name that ends in a slash is a prefix.
 */
export class LedgerPaths {
  /** `<provider>/<account>`, each as a safe name. */
  readonly #account: string;

  private constructor(account: string) {
    this.#account = account;
  }

  static of({ provider, account }: Scope): LedgerPaths {
    return new LedgerPaths(`${safeName(provider)}/${safeName(account)}`);
  }

  /** The account whose record has this key; `undefined` for a key that is no record's. */
  static accountOf(key: string): LedgerPaths | undefined {
    const [, account] = /^ledger\/([^/]+\/[^/]+)\//.exec(key) ?? [];
    return account === undefined ? undefined : new LedgerPaths(account);
  }

  /** What every key of the account precedes, and no key of the next account: `0` follows `/`. */
  get afterAccount(): string {
    return `${ALL_LEDGERS}${this.#account}0`;
  }

  /** Prefixes of the records that {@link parse} reads. */
  get purchasesAndTasks(): readonly string[] {
    return [`${this.#root}/purchases/`, `${this.#root}/tasks/`];
  }

  /** Reads the key of a record of a purchase or of a task; `undefined` for every other key. */
  static parse(key: string): RecordKey | undefined {
    const [, account, taskName, purchaseKey, n, file] = RECORD_KEY.exec(key) ?? [];
    if (account === undefined) return undefined;
    const paths = new LedgerPaths(account);
    if (taskName !== undefined) return { kind: 'task', paths, taskName };
    if (purchaseKey === undefined || file === undefined) return undefined;
    const purchase: Purchase = { key: purchaseKey, n: Number(n) };
    if (file === 'intent' || file === 'claim' || file === 'closed') return { kind: file, paths, purchase };
    const [, foundTask] = FOUND_TASK.exec(file) ?? [];
    if (foundTask !== undefined) return { kind: 'found_task', paths, purchase, taskName: foundTask };
    const [, extraTask, closed] = EXTRA_TASK.exec(file) ?? [];
    if (extraTask === undefined) return { kind: 'unknown', paths, purchase };
    const kind = closed === undefined ? 'extra_task' : 'extra_task_closed';
    return { kind, paths, purchase, taskName: extraTask };
  }

  /** Prefix of all purchases under one key. */
  purchasesUnder(key: string): string {
    return `${this.#root}/purchases/${checkedKey(key)}/`;
  }

  purchase({ key, n }: Purchase): string {
    return `${this.purchasesUnder(key)}${n}/`;
  }

  intent(purchase: Purchase): string {
    return `${this.purchase(purchase)}intent.json`;
  }

  claim(purchase: Purchase): string {
    return `${this.purchase(purchase)}claim.json`;
  }

  closed(purchase: Purchase): string {
    return `${this.purchase(purchase)}closed.json`;
  }

  foundTask(purchase: Purchase, taskId: string): string {
    return `${this.purchase(purchase)}found/${safeName(taskId)}.json`;
  }

  extraTask(purchase: Purchase, taskId: string): string {
    return `${this.purchase(purchase)}late/${safeName(taskId)}.json`;
  }

  extraTaskClosed(purchase: Purchase, taskId: string): string {
    return `${this.purchase(purchase)}late/${safeName(taskId)}${CLOSED_SUFFIX}.json`;
  }

  task(taskId: string): string {
    return `${this.#root}/tasks/${safeName(taskId)}.json`;
  }

  /** Prefix of the announcements and markers of all hours. */
  get allAnnouncements(): string {
    return `${this.#root}/recent/`;
  }

  /** Prefix of those of one UTC hour; `atMs` is a moment in it, in milliseconds since the epoch. */
  announcements(atMs: number): string {
    return `${this.allAnnouncements}${utcHour(atMs)}/`;
  }

  announcement({ key, n }: Purchase, atMs: number): string {
    return `${this.announcements(atMs)}${checkedKey(key)}-${n}.json`;
  }

  /** The announcement of a task that its purchase's decision may not name. */
  extraTaskAnnouncement({ key, n }: Purchase, taskId: string, atMs: number): string {
    return `${this.announcements(atMs)}${checkedKey(key)}-${n}~late~${safeName(taskId)}.json`;
  }

  /** The marker next to an announcement which says that what was announced is over. */
  static marker(announcementKey: string): string {
    return announcementKey.replace(/\.json$/, `${CLOSED_SUFFIX}.json`);
  }

  /** What the key of an announcement or of its marker names; `undefined` for every other key. */
  static parseAnnouncement(key: string): (Announcement & { readonly isMarker: boolean }) | undefined {
    const [, purchaseKey, n, taskName, marker] = ANNOUNCEMENT.exec(key) ?? [];
    if (purchaseKey === undefined) return undefined;
    return { key, purchase: { key: purchaseKey, n: Number(n) }, taskName, isMarker: marker !== undefined };
  }

  /** Prefix of the digests of all hours. */
  get allDigests(): string {
    return `${this.#root}/digests/`;
  }

  /** Prefix of the digests of one UTC hour; `atMs` is a moment in it, in milliseconds since the epoch. */
  digests(atMs: number): string {
    return `${this.allDigests}${utcHour(atMs)}/`;
  }

  /**
   * A digest of an hour.
   * @param prefix - Of the hour's announcements.
   * @param of.listedAtMs - When its names were listed, milliseconds since the epoch.
   * @param of.id - SHA-256 (hex) of the digest.
   */
  digest(prefix: string, { listedAtMs, count, id }: DigestName & { readonly id: string }): string {
    return `${this.#digestsOf(prefix)}${listedAtMs}-${count}-${id}.json`;
  }

  /** Says that no digest of an hour counts. */
  revokedDigests(prefix: string): string {
    return `${this.#digestsOf(prefix)}revoked.json`;
  }

  /** What the key of a digest, or of the revocation of an hour's digests, says; `undefined` for every other key. */
  parseDigest(key: string): (DigestName & { readonly prefix: string }) | { readonly revokes: string } | undefined {
    const [, hour, listedAtMs, count] = DIGEST.exec(key) ?? [];
    if (hour === undefined) return undefined;
    const prefix = `${this.allAnnouncements}${hour}/`;
    return count === undefined ? { revokes: prefix } : { prefix, listedAtMs: Number(listedAtMs), count: Number(count) };
  }

  #digestsOf(prefix: string): string {
    return this.allDigests + prefix.slice(this.allAnnouncements.length);
  }

  /** Prefix of the bills of one UTC day (`YYYY-MM-DD`). */
  bills(day: string): string {
    return `${this.#root}/days/${day}/`;
  }

  bill(day: string, taskId: string): string {
    return `${this.bills(day)}${safeName(taskId)}.json`;
  }

  /** The record of the task that a bill's key names; `undefined` for a key that is no bill's. */
  taskOfBill(billKey: string): string | undefined {
    const [, taskName] = /\/days\/[^/]+\/([^/]+)\.json$/.exec(billKey) ?? [];
    return taskName === undefined ? undefined : `${this.#root}/tasks/${taskName}.json`;
  }

  /** Prefix of the statements of one UTC day, each of which repeats bills of it. */
  statements(day: string): string {
    return `${this.#root}/statements/${day}/`;
  }

  /** @param id - SHA-256 (hex) of what it repeats. */
  statement(day: string, id: string): string {
    return `${this.statements(day)}${id}.json`;
  }

  /** The pointer from a cache key to its newest result; outside of `ledger/`, because it is replaced and purged. */
  cachedResult(cacheKey: string): string {
    return `cache/${this.#account}/${cacheKey}.json`;
  }

  get #root(): string {
    return `${ALL_LEDGERS}${this.#account}`;
  }
}

/** What the name of a digest says: when its hour was listed, and how many announcements it names. */
export interface DigestName {
  readonly listedAtMs: number;
  readonly count: number;
}

/** By what a purchase, or a task that was bought in addition, is found by time. */
export interface Announcement {
  /** Its own key. */
  readonly key: string;
  readonly purchase: Purchase;
  /** The name in keys of the task that was bought in addition; `undefined` for the purchase itself. */
  readonly taskName: string | undefined;
}

/** What the key of a record says. A task's name is its id as keys spell it, see {@link safeName}. */
export type RecordKey =
  | PurchaseRecordKey
  | { readonly kind: 'task'; readonly paths: LedgerPaths; readonly taskName: string };

/** The key of a record of a purchase; `unknown` is a file that this version does not write. */
export type PurchaseRecordKey = { readonly paths: LedgerPaths; readonly purchase: Purchase } & (
  | { readonly kind: 'intent' | 'claim' | 'closed' | 'unknown' }
  | { readonly kind: 'found_task' | 'extra_task' | 'extra_task_closed'; readonly taskName: string }
);

/**
 * Checks a purchase key that comes from outside.
 * @throws VideoError `InvalidRequest` when it is no hash.
 */
export function checkedKey(key: string): string {
  if (PURCHASE_KEY.test(key)) return key;
  throw new VideoError(FailureType.InvalidRequest, 'A purchase key must be a hash in lower-case hex', {
    billed: false,
  });
}
