/** 15 s of uncompressed sound at 96 kHz are 1.44 million samples; a table beyond only claims to be one. */
const SAMPLES_MAX = 2_000_000;

/** Boxes that hold the tables, from the outside in (ISO/IEC 14496-12, section 8). */
const CONTAINERS: readonly string[] = ['moov', 'trak', 'mdia', 'minf', 'stbl'];

/**
 * Whether the sample tables of an index are what they claim: their entries are there, their chunks exist, and their
 * counts are those of a short video. The track reader trusts them, and would count to 2^32 for a damaged one.
 * @param moov - The whole `moov` box, or a container in it.
 */
export function isSoundIndex(moov: Buffer): boolean {
  const tables = new Map<string, Buffer>();
  for (let at = 8; at < moov.length; ) {
    const length = at + 8 <= moov.length ? moov.readUInt32BE(at) : 0;
    if (length < 8 || at + length > moov.length) return false;
    const child = moov.subarray(at, at + length);
    const name = child.toString('latin1', 4, 8);
    if (CONTAINERS.includes(name)) {
      if (!isSoundIndex(child)) return false;
    } else tables.set(name, child.subarray(8));
    at += length;
  }
  return areSoundTables(tables);
}

function areSoundTables(tables: ReadonlyMap<string, Buffer>): boolean {
  const runs = entriesOf(tables.get('stts'), 2);
  const chunkRuns = entriesOf(tables.get('stsc'), 3);
  const offsets = tables.get('stco') ?? tables.get('co64');
  const chunks = offsets === undefined || offsets.length < 8 ? 0 : offsets.readUInt32BE(4);
  if (runs === undefined || chunkRuns === undefined || chunks > SAMPLES_MAX) return false;
  if (runs.reduce((sum, [count = 0]) => sum + count, 0) > SAMPLES_MAX) return false;
  let previous = 0;
  for (const [firstChunk = 0, samples = 0] of chunkRuns) {
    if (firstChunk <= previous || firstChunk > chunks || samples > SAMPLES_MAX) return false;
    previous = firstChunk;
  }
  const sizes = tables.get('stsz');
  return sizes === undefined || (sizes.length >= 12 && sizes.readUInt32BE(8) <= SAMPLES_MAX);
}

/** The entries of a table of `fields` 32-bit numbers each; `undefined` when they are not all there. */
function entriesOf(table: Buffer | undefined, fields: number): number[][] | undefined {
  if (table === undefined) return [];
  const count = table.length < 8 ? -1 : table.readUInt32BE(4);
  if (count < 0 || count * fields * 4 > table.length - 8) return undefined;
  return Array.from({ length: count }, (_, entry) =>
    Array.from({ length: fields }, (_unused, field) => table.readUInt32BE(8 + (entry * fields + field) * 4)),
  );
}
