import type { Billable, Payer } from '../../src/contract/budget.js';
import type { SlotPriority } from '../../src/contract/slots.js';
import { ByteReader, ByteWriter } from './byte-stream.js';
import type { Waiter } from './slot-entry.js';
import type { GroupTurns, WaitingQueue } from './waiting-queue.js';

/** What of a request is written as JSON, once for all requests that have it alike. */
interface Rare {
  readonly cost?: Billable | null;
  readonly payers?: Readonly<Record<string, Payer>>;
}

/**
 * Writes the requests that wait, in the order of requests, as pages.
 * @param pageBytes - Bytes of a page; one request may exceed it.
 */
export function packQueue(queue: WaitingQueue, pageBytes: number): Uint8Array[] {
  const turns = new Map([...queue.groups()].map((group) => [groupKeyOf(group), group]));
  const pages: Uint8Array[] = [];
  let page = new PageWriter(turns);
  for (const waiter of queue.values()) {
    if (page.length >= pageBytes) {
      pages.push(page.bytes());
      page = new PageWriter(turns);
    }
    page.add(waiter);
  }
  if (page.length > 0) pages.push(page.bytes());
  return pages;
}

/** Puts the requests of pages into a queue, page after page in their order. */
export function unpackQueue(pages: readonly Uint8Array[], queue: WaitingQueue): void {
  const groups: GroupTurns[] = [];
  for (const page of pages) readPage(page, queue, groups);
  // Last, because a request that is added counts as a group that comes new.
  for (const group of groups) queue.setTurns(group);
}

const groupKeyOf = ({ priority, tenant, batch }: Pick<GroupTurns, 'priority' | 'tenant' | 'batch'>): string =>
  JSON.stringify([priority, tenant, batch]);

/** One page. Groups and rare fields are written when they are first used, and numbered. */
class PageWriter {
  readonly #writer = new ByteWriter();
  readonly #turns: ReadonlyMap<string, GroupTurns>;
  readonly #groups = new Map<string, number>();
  readonly #rares = new Map<string, number>();
  #before: Pick<Waiter, 'key' | 'sinceMs' | 'seq'> & { requester: string } = START;

  constructor(turns: ReadonlyMap<string, GroupTurns>) {
    this.#turns = turns;
  }

  get length(): number {
    return this.#writer.length;
  }

  bytes(): Uint8Array {
    return this.#writer.bytes();
  }

  add(waiter: Waiter): void {
    const writer = this.#writer;
    const { key, requesters, afterPurchase, sinceMs, seq, notified } = waiter;
    const { position = 0, isProvisional = false, isDue = false } = notified;
    this.#addGroup(waiter);
    this.#addRare(waiter);
    writer.count(afterPurchase);
    writer.difference(sinceMs - this.#before.sinceMs);
    writer.difference(seq - this.#before.seq);
    writer.count(position * 4 + (isProvisional ? 2 : 0) + (isDue ? 1 : 0));
    writer.text(key, this.#before.key);
    writer.count(requesters.length);
    let { requester } = this.#before;
    for (const id of requesters) {
      writer.text(id, requester);
      requester = id;
    }
    this.#before = { key, sinceMs, seq, requester };
  }

  #addGroup(waiter: Waiter): void {
    const key = groupKeyOf(waiter);
    const known = this.#groups.get(key);
    this.#writer.count(known ?? this.#groups.size);
    if (known !== undefined) return;
    this.#groups.set(key, this.#groups.size);
    const { tenantTurns = 0, batchTurns = 0 } = this.#turns.get(key) ?? {};
    this.#writer.text(key);
    this.#writer.count(tenantTurns);
    this.#writer.count(batchTurns);
  }

  #addRare({ cost, payers }: Waiter): void {
    const rare: Rare = { ...(cost !== undefined && { cost }), ...(payers !== undefined && { payers }) };
    const json = JSON.stringify(rare);
    const known = this.#rares.get(json);
    this.#writer.count(known ?? this.#rares.size);
    if (known !== undefined) return;
    this.#rares.set(json, this.#rares.size);
    this.#writer.text(json);
  }
}

const START = { key: '', sinceMs: 0, seq: 0, requester: '' };

function readPage(page: Uint8Array, queue: WaitingQueue, allGroups: GroupTurns[]): void {
  const reader = new ByteReader(page);
  const groups: GroupTurns[] = [];
  const rares: Rare[] = [];
  let before = START;
  while (!reader.isAtEnd) {
    const groupAt = reader.count();
    if (groupAt === groups.length) {
      const [priority, tenant, batch] = JSON.parse(reader.text()) as [SlotPriority, string | null, string | null];
      groups.push({ priority, tenant, batch, tenantTurns: reader.count(), batchTurns: reader.count() });
    }
    const rareAt = reader.count();
    if (rareAt === rares.length) rares.push(JSON.parse(reader.text()) as Rare);
    const { priority, tenant, batch } = groups[groupAt] as GroupTurns;
    const afterPurchase = reader.count();
    const sinceMs = before.sinceMs + reader.difference();
    const seq = before.seq + reader.difference();
    const sent = reader.count();
    const key = reader.text(before.key);
    let { requester } = before;
    const requesters = Array.from({ length: reader.count() }, () => {
      requester = reader.text(requester);
      return requester;
    });
    before = { key, sinceMs, seq, requester };
    queue.restore({
      key,
      afterPurchase,
      requesters,
      tenant,
      batch,
      priority,
      sinceMs,
      seq,
      ...rares[rareAt],
      notified: {
        ...(sent >= 4 && { position: Math.floor(sent / 4) }),
        isProvisional: Math.floor(sent / 2) % 2 === 1,
        isDue: sent % 2 === 1,
      },
    });
  }
  allGroups.push(...groups);
}
