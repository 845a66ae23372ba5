import * as wf from '@temporalio/workflow';
import { onBytesSignal, onSignal } from '../shared/message-handlers.js';
import { slotsPageSignal, takeSlotsPageSignal } from '../shared/messages.js';

/** A run of the slots that ends, or is reset, takes its pages within a moment, unless its workers are gone. */
const KEPT = '7 days';

/** Bytes of a page, with its last request. */
const PAGE_BYTES_MAX = 1_900_000;

/** What a keeper of a page knows. */
interface PageKeeperInput {
  /** Workflow id of the account's slots. */
  readonly slots: string;
}

/**
 * Keeps a page of the queue while the account's slots continue as new: Temporal takes 2 MB as the input of a run, and a
 * long queue needs more. The next run takes each page by a signal.
 */
export async function keepSlotsPage({ slots }: PageKeeperInput, page: Uint8Array): Promise<void> {
  let isRequested = false;
  onSignal(
    takeSlotsPageSignal,
    () => true,
    () => {
      isRequested = true;
    },
  );
  if (!(await wf.condition(() => isRequested, KEPT, { summary: 'the next run takes this page of the queue' }))) return;
  const { workflowId } = wf.workflowInfo();
  await wf.getExternalWorkflowHandle(slots).signal(slotsPageSignal, workflowId, page);
}

/** Starts the keepers of pages that do not fit into the input of the next run; returns their workflow ids. */
export async function startKeepers(pages: readonly Uint8Array[]): Promise<string[]> {
  const { workflowId: slots } = wf.workflowInfo();
  // Not the run's id: a reset run, which has another one, must start the same workflows when it is replayed.
  const handover = wf.uuid4();
  const keepers: string[] = [];
  // One after the other: together they would exceed the 4 MB of one answer to Temporal.
  for (const [at, page] of pages.entries()) {
    const workflowId = `${slots}/page/${handover}/${at + 1}`;
    await wf.startChild(keepSlotsPage, {
      workflowId,
      args: [{ slots }, page],
      parentClosePolicy: 'ABANDON',
      staticSummary: `page ${at + 1} of the queue of ${slots}, while it continues as new`,
      cancellationType: wf.ChildWorkflowCancellationType.ABANDON,
    });
    keepers.push(workflowId);
  }
  return keepers;
}

/** Takes the pages of a queue from their keepers; one that does not come in time is missing. */
export class PageCollector {
  readonly #pages = new Map<string, Uint8Array>();

  constructor() {
    onBytesSignal(slotsPageSignal, PAGE_BYTES_MAX, (keeper, page) => {
      this.#pages.set(keeper, page);
    });
  }

  /** @returns the pages in the order of their keepers; undefined for each that did not come. */
  async collect(keepers: readonly string[], ms: number): Promise<(Uint8Array | undefined)[]> {
    for (const keeper of keepers) {
      // A reset run asks a keeper that has ended, and has its page from the signals that are applied again.
      wf.getExternalWorkflowHandle(keeper)
        .signal(takeSlotsPageSignal)
        .catch(() => undefined);
    }
    await wf.condition(() => keepers.every((keeper) => this.#pages.has(keeper)), ms, { summary: 'pages of the queue' });
    return keepers.map((keeper) => this.#pages.get(keeper));
  }
}
