import { createHash } from 'node:crypto';

/** Documents that a batch delivers next to its videos. */
export const DOCUMENTS = ['csv', 'html', 'json'];
/** The folder of a batch's named files. */
const folderOf = (batchId) => `clips/${batchId}`;
export const patternOf = (batchId) => `${folderOf(batchId)}/{item_id}.mp4`;

/**
 * What was not notified as it must be; pure.
 * @param runs - With `workflowId`, the run that sends the event; without one there is none.
 * @param taken - The messages that the receiver took: id and text.
 * @param undelivered - Runs of deliveries that are open or have failed.
 */
export function misnotified({ runs, taken, undelivered }) {
  const events = taken.map(({ id, body }) => ({ id, body, ...JSON.parse(body) }));
  const idsOf = (workflowId) => {
    const ends = events.filter(({ type, data }) => /ended$/.test(type) && data.workflow_id === workflowId);
    return new Set(ends.map(({ id }) => id)).size;
  };
  const wrong = runs.flatMap(({ workflowId, leave, end }) => {
    if (workflowId === undefined || end === 'running') return [];
    const ids = idsOf(workflowId);
    // One that is left may be left before it knows its receiver, and a terminated one sends nothing.
    if (ids === 1 || (ids === 0 && leave !== undefined)) return [];
    return [`its end was notified under ${ids} ids: ${workflowId}`];
  });
  const texts = new Map();
  for (const { id, body } of events) texts.set(id, new Set([...(texts.get(id) ?? []), body]));
  const changed = [...texts].filter(([, bodies]) => bodies.size > 1).map(([id]) => `one id with two texts: ${id}`);
  return [...wrong, ...changed, ...undelivered.map((id) => `not delivered: ${id}`)];
}

/**
 * What is not in a batch's folder as it must be: each video of the batch once under its line's name, and the documents;
 * pure.
 * @param batch.videos - Item id and SHA-256 of each line that has its video.
 * @param batch.files - Name and SHA-256 of everything in the folder.
 * @param batch.delivery - What the batch's result says.
 */
export function misdelivered({ id, videos, files, delivery }) {
  const hashOf = new Map(files.map(({ name, sha256 }) => [name, sha256]));
  const wrong = videos.flatMap(({ item_id, sha256 }) =>
    hashOf.get(`${item_id}.mp4`) === sha256 ? [] : [`batch ${id} did not deliver ${item_id}`],
  );
  const documents = DOCUMENTS.map((format) => `report-${id}.${format}`);
  const missing = documents.filter((name) => !hashOf.has(name)).map((name) => `batch ${id} did not deliver ${name}`);
  const known = new Set([...videos.map(({ item_id }) => `${item_id}.mp4`), ...documents]);
  const others = files.filter(({ name }) => !known.has(name)).map(({ name }) => `batch ${id} delivered ${name}`);
  const { files: counted, undelivered, failure } = delivery ?? {};
  const isSaid = counted === videos.length && undelivered === 0 && failure === null;
  const said = isSaid ? [] : [`batch ${id} says of its ${videos.length} files ${JSON.stringify(delivery)}`];
  return [...wrong, ...missing, ...others, ...said];
}

/** Name and SHA-256 of every object in the folder of a batch. */
export async function filesOf(store, batchId) {
  const prefix = `${folderOf(batchId)}/`;
  const files = [];
  for await (const { key } of store.list(prefix)) {
    const hash = createHash('sha256');
    for await (const chunk of await store.get(key)) hash.update(chunk);
    files.push({ name: key.slice(prefix.length), sha256: hash.digest('hex') });
  }
  return files;
}
