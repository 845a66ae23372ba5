import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../support/stack.js';

const FOLDER = fileURLToPath(new URL('histories/', import.meta.url));

/** A history as Temporal's own JSON, the form of `temporal workflow show --output json`. */
export interface HistoryJson {
  readonly events: readonly {
    readonly eventType: string;
    /** What the Web UI shows of a timer, a step or a child. */
    readonly userMetadata?: { readonly summary?: unknown };
    readonly workflowExecutionStartedEventAttributes?: { readonly workflowId: string };
    readonly activityTaskScheduledEventAttributes?: { readonly activityType: { readonly name: string } };
  }[];
}

/** Path of a committed history below its folder, without `.json`: `<workflow>/<case>`. */
export const pathOf = ({ workflow, name }: { workflow: string; name: string }): string => `${workflow}/${name}`;

/** Every committed history: its path below the folder, without `.json`. */
export function committedPaths(): string[] {
  return readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length).replaceAll('\\', '/'))
    .sort();
}

export const readHistory = (path: string): HistoryJson =>
  JSON.parse(readFileSync(join(FOLDER, `${path}.json`), 'utf8')) as HistoryJson;

/** Writes one event per line: a difference between two recordings can be read, and the file stays small. */
export function writeHistory(path: string, { events }: HistoryJson): void {
  const file = join(FOLDER, `${path}.json`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `{"events":[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]}\n`);
}

/** Fields that say who did something and where; replaying reads none of them. */
const OF_THE_MACHINE = new Set(['identity', 'stackTrace', 'requestId', 'workerVersion', 'meteringMetadata']);

/**
 * Takes out of a history what only says on which machine it was recorded: process and host names, folders, ports.
 * Results are inputs of the workflow, so they may be changed as long as every occurrence is changed alike.
 * @param outputDir - Folder of the store.
 */
export function withoutMachine(history: HistoryJson, outputDir: string): HistoryJson {
  const plain = (text: string): string =>
    text
      .replaceAll(outputDir, '/output')
      .replaceAll(ROOT, '/app/')
      .replaceAll(tmpdir(), '/tmp')
      .replace(/\b\d+@[\w.-]+/g, 'sticky') // the sticky queue is named after process and host
      .replaceAll(hostname(), 'host')
      .replace(/\b127\.0\.0\.1:\d+/g, '127.0.0.1:1');
  return mapHistory(history, plain, (field) => !OF_THE_MACHINE.has(field)) as HistoryJson;
}

/** Everything that a history says, payloads decoded, as one text to search in. */
export function textOf(history: HistoryJson): string {
  const texts: string[] = [];
  mapHistory(history, (text) => {
    texts.push(text);
    return text;
  });
  return texts.join('\n');
}

/** Applies `change` to every text, to that of payloads decoded, and leaves out the fields that `keep` denies. */
function mapHistory(
  value: unknown,
  change: (text: string) => string,
  keep = (_field: string): boolean => true,
): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((one) => mapHistory(one, change, keep));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([field]) => keep(field));
  return Object.fromEntries(
    fields.map(([field, inner]) => [
      field,
      isPayload(value) && typeof inner === 'string' ? encode(change(decode(inner))) : mapHistory(inner, change, keep),
    ]),
  );
}

/** A payload is `{ metadata: { encoding, … }, data }`, all its values in base64. */
function isPayload(value: object): boolean {
  return 'data' in value || 'encoding' in value;
}

const decode = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
