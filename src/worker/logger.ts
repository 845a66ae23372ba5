import { DefaultLogger, type LogEntry, Runtime } from '@temporalio/worker';
import { destination, pino } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../config/config.js';
import { redactText } from '../dashscope/redact.js';

/** Writes one line to stderr, which is where logs belong: stdout carries results. */
const STDERR = 2;

/**
 * Gives Temporal's runtime of this process its logger: pino at `LOG_LEVEL`, as `LOG_FORMAT` says (default: for people on a
 * terminal, else JSON). Call it once, before the first worker. Every text is redacted: no key, no signed URL.
 */
export function installLogger({ level, format }: Config['log']): void {
  const forPeople = (format ?? (process.stderr.isTTY ? 'pretty' : 'json')) === 'pretty';
  const options = { level, base: null };
  const log = forPeople
    ? pino(options, pretty({ destination: STDERR, sync: true, ignore: 'sdkComponent,taskToken' }))
    : pino(options, destination({ dest: STDERR, sync: true }));
  Runtime.install({
    logger: new DefaultLogger('TRACE', (entry: LogEntry) => {
      const at = entry.level.toLowerCase() as 'trace' | 'debug' | 'info' | 'warn' | 'error';
      // Most lines are below the level, and redacting them would be the larger part of what a run costs this process.
      if (!log.isLevelEnabled(at)) return;
      log[at](redacted(entry.meta ?? {}), redactText(entry.message));
    }),
    telemetryOptions: { logging: { filter: { core: 'ERROR', other: 'ERROR' } } },
  });
}

/** What goes with a log line, without secrets. Text by text: redacting the JSON itself would eat the escape of a quote behind a link. */
export function redacted(meta: Record<string, unknown>): Record<string, unknown> {
  const { sdkComponent, taskToken, ...rest } = meta;
  return JSON.parse(JSON.stringify({ ...rest, ...asText(meta['error']) }, safe)) as Record<string, unknown>;
}

/** A logger that throws would replace the failure that it was to tell. */
function safe(_name: string, value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  return typeof value === 'bigint' ? String(value) : value;
}

/** An error has no JSON of its own. */
function asText(error: unknown): { error?: string } {
  return error instanceof Error ? { error: error.stack ?? error.message } : {};
}
