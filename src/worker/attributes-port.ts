import type { Client } from '@temporalio/client';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';

/** Asks the server whether our search attributes exist; a yes is remembered, a no is asked again by the next run. */
export function attributesPort(client: Client): () => Promise<boolean> {
  const query = Object.keys(SEARCH_ATTRIBUTES)
    .map((name) => `${name} = '-'`)
    .join(' OR ');
  let known = false;
  return async () => {
    known ||= await client.workflow.count(query).then(
      () => true,
      () => false,
    );
    return known;
  };
}
