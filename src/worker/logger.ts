import { randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { SdkComponent } from '@temporalio/common';
import { DefaultLogger, type LogEntry, type LogLevel, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { destination, pino } from 'pino';
import type { Config } from '../config/config.js';
import { redactText } from '../net/redact.js';

/** Writes one line to stderr, which is where logs belong: stdout carries results. */
const STDERR = 2;

/** Dynamic ports (RFC 6335): one of them serves metrics that only this process reads. */
const PORTS = { from: 49_152, to: 65_535 } as const;
const PORT_TRIES = 20;

/** The logger below the runtime's, which holds lines back for a moment to sort them. */
let direct: DefaultLogger | undefined;
/** The runtime that the logger was given to. */
let installed: Runtime | undefined;

/**
 * Writes a line of the installed log at once, also after the runtime has ended. In a program that has a runtime of its
 * own the line goes to that one's logger.
 */
export function logNow(level: LogLevel, message: string, meta: Record<string, unknown> = {}): void {
  if (direct !== undefined) direct.log(level, message, meta);
  else Runtime.instance().logger.log(level, redactText(message), redacted(meta));
}

/** Writes the lines that the runtime still holds back. Call it before the process ends. */
export const flushLog = (): void => installed?.flushLogs();

/** The address of the runtime's metrics; there is one runtime per process, so there is one of these. */
let temporalMetrics: string | undefined;

/** The loopback address at which Temporal's runtime serves its metrics; undefined when metrics are off. */
export const temporalMetricsAddress = (): string | undefined => temporalMetrics;

/** Warnings of the SDK about choices of ours: the submit queue has no workflows, and no worker serves Nexus. */
const EXPECTED_WARNINGS: readonly string[] = [
  'No workflows registered, not polling for workflow tasks',
  'No Nexus services registered, not polling for Nexus tasks',
];

/**
 * Errors of Temporal's native core, and its repeated calls from the sixth attempt on: that is seconds after Temporal
 * went away. The core itself makes them an error after the fifteenth attempt, which is a minute and a half.
 */
const CORE_FILTER = `${makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' })},temporalio_client::retry=WARN`;

/**
 * In an outage the core writes the same line for every poller, several times per second. Of lines that differ only in
 * numbers, one is written in this time.
 */
const CORE_REPEAT_MS = 10_000;
/** Lines of the core that are remembered for that; the oldest one is forgotten first. */
const CORE_LINES_MAX = 100;

/** Fields that are the same in every line of a worker, or part of its text; `LOG_FORMAT=json` has all of them. */
const LEFT_OUT: readonly string[] = [
  ...['level', 'time', 'msg', 'sdkComponent', 'taskToken', 'namespace', 'taskQueue', 'runId', 'workflowType'],
  ...['workflowId', 'taskId', 'stage', 'error', 'span_id', 'trace_flags'],
];

/**
 * Gives Temporal's runtime of this process its logger: pino at `LOG_LEVEL`, as `LOG_FORMAT` says (default: for people
 * on a terminal, else JSON). Call it once, before the first worker. Every text is redacted: no key, no signed URL.
 * Lines of Temporal's native core go through it, too; on its own, the core writes coloured lines to stdout.
 * @param metrics - Whether the runtime is to count as well; a worker with `WAN_VIDEO_METRICS` serves its metrics next
 * to its own.
 */
export function installLogger({ level, format }: Config['log'], { metrics = false } = {}): void {
  const forPeople = (format ?? (process.stderr.isTTY ? 'pretty' : 'json')) === 'pretty';
  const options = { level, base: null };
  const log = forPeople
    ? pino(options, { write: (json) => void writeSync(STDERR, timedLine(JSON.parse(json) as Record<string, unknown>)) })
    : pino(options, destination({ dest: STDERR, sync: true }));
  const isRepeated = coreRepeats();
  const logger = new DefaultLogger('TRACE', (entry: LogEntry) => {
    const at = entry.level.toLowerCase() as 'trace' | 'debug' | 'info' | 'warn' | 'error';
    // Most lines are below the level, and redacting them would be most of a run's cost in this process.
    if (!log.isLevelEnabled(at) || EXPECTED_WARNINGS.includes(entry.message)) return;
    if (entry.meta?.['sdkComponent'] === SdkComponent.core && isRepeated(entry.message, performance.now())) return;
    // The states of the SDK's workers: the command itself reports when it is ready and when it ends.
    if (forPeople && at === 'info' && entry.meta?.['sdkComponent'] === SdkComponent.worker) return;
    log[at](redacted(entry.meta ?? {}), redactText(entry.message));
  });
  direct = logger;
  const logging = { filter: CORE_FILTER, forward: {} } as const;
  if (!metrics) {
    installed = Runtime.install({ logger, telemetryOptions: { logging } });
    return;
  }
  for (let tries = 1; ; tries += 1) {
    const bindAddress = `127.0.0.1:${randomInt(PORTS.from, PORTS.to + 1)}`;
    // Prometheus' naming: base units, counters with _total.
    const prometheus = { bindAddress, countersTotalSuffix: true, unitSuffix: true, useSecondsForDurations: true };
    try {
      installed = Runtime.install({ logger, telemetryOptions: { logging, metrics: { prometheus } } });
      temporalMetrics = bindAddress;
      return;
    } catch (error) {
      // Between a search for a free port and its use another process could take it; so ports are tried.
      if (tries === PORT_TRIES || !String(error).includes('in use')) throw error;
    }
  }
}

/** Remembers when each line was last written; returns whether it was within {@link CORE_REPEAT_MS}. */
function coreRepeats(): (message: string, nowMs: number) => boolean {
  const writtenMs = new Map<string, number>();
  return (message, nowMs) => {
    const line = message.slice(0, 200).replace(/\d+/g, '0');
    if (nowMs - (writtenMs.get(line) ?? Number.NEGATIVE_INFINITY) < CORE_REPEAT_MS) return true;
    writtenMs.delete(line);
    writtenMs.set(line, nowMs);
    const [oldest = ''] = writtenMs.keys();
    if (writtenMs.size > CORE_LINES_MAX) writtenMs.delete(oldest);
    return false;
  };
}

/** The same with time of day and level, as a line of the terminal. */
function timedLine(line: Record<string, unknown>): string {
  const { time, level } = line;
  const at = new Date(Number(time));
  const clock = `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
  return `[${clock}] ${(pino.levels.labels[Number(level)] ?? '').toUpperCase()}: ${lineForPeople(line)}\n`;
}

/** A log line for people: source, message and fields on one line; then the error, if there is one. */
export function lineForPeople(line: Record<string, unknown>): string {
  const { workflowId, msg, taskId, error } = line;
  const about = workflowId === undefined ? '' : `${workflowId}: `;
  const task = taskId === undefined ? '' : `, task ${taskId}`;
  const rest = Object.entries(line)
    .filter(([name, value]) => !LEFT_OUT.includes(name) && !(name === 'attempt' && value === 1))
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const more = rest.length === 0 ? '' : ` (${rest.join(', ')})`;
  const below = error === undefined ? '' : `\n${String(error).replace(/^/gm, '    ')}`;
  return `${about}${msg}${task}${more}${below}`;
}

/**
 * A log line's fields without secrets. Text by text: redacting the JSON itself would remove the escape of a quote after
 * a link.
 */
export function redacted(meta: Record<string, unknown>): Record<string, unknown> {
  const { sdkComponent, taskToken, ...rest } = meta;
  return JSON.parse(JSON.stringify({ ...rest, ...asText(meta['error']) }, safe)) as Record<string, unknown>;
}

/** A logger that throws would replace the failure that it logs. */
function safe(_name: string, value: unknown): unknown {
  if (typeof value === 'string') return redactText(value);
  return typeof value === 'bigint' ? String(value) : value;
}

/** An error has no JSON of its own. */
function asText(error: unknown): { error?: string } {
  return error instanceof Error ? { error: error.stack ?? error.message } : {};
}
