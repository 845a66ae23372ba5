import { VideoRunError } from '../client/run-error.js';
import type { VideoErrorObject } from '../contract/failure.js';
import { FailureType } from '../contract/failure-type.js';
import type { VideoResult } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../net/redact.js';
import { ExitCode } from './exit-code.js';

/** Variables whose values are secrets, so that a library's message cannot leak one. */
const SECRET_VARIABLES = ['DASHSCOPE_API_KEY', 'TEMPORAL_API_KEY', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'];
/** A shorter value is not a secret, and blanking it would damage every text. */
const SECRET_LENGTH_MIN = 8;

/** The secrets of an environment, including the passwords of proxies. */
export const secretsOf = (env: Readonly<Record<string, string | undefined>>): string[] =>
  [
    ...SECRET_VARIABLES.map((name) => env[name]?.trim() ?? ''),
    ...Object.entries(env).map(([name, value = '']) =>
      /^https?_proxy$/i.test(name) && URL.canParse(value) ? decodeURIComponent(new URL(value).password) : '',
    ),
  ].filter((value) => value.length >= SECRET_LENGTH_MIN);

/** The published error object of any failure, without the fields that do not apply. */
export function errorObject(error: unknown, secrets: readonly string[] = []): VideoErrorObject {
  const safe = (text: string): string => redactText(text, secrets);
  if (error instanceof VideoRunError) return { ...error.error, message: safe(error.error.message) };
  if (!(error instanceof VideoError)) {
    return { type: 'UnexpectedError', message: safe(error instanceof Error ? error.message : String(error)) };
  }
  const { type, message, issues, code, taskId, requestId, billed, nextStep } = error;
  return {
    type,
    message: safe(message),
    ...(issues !== undefined && { issues: issues.map((issue) => ({ ...issue, message: safe(issue.message) })) }),
    ...(code !== undefined && { code }),
    ...(taskId !== undefined && { task_id: taskId }),
    ...(requestId !== undefined && { request_id: requestId }),
    ...(billed !== undefined && { billed }),
    ...(nextStep !== undefined && { next_step: safe(nextStep) }),
  };
}

/** Failures that are not caused by a request: something must be set up, fixed or paid first. */
const NOT_SET_UP: readonly string[] = [
  FailureType.CredentialsMissing,
  FailureType.CredentialsRejected,
  FailureType.AccountBlocked,
];

/** The exit code of a failure. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof VideoRunError) {
    if (error.cancelled || error.error.type === 'Interrupted') return ExitCode.cancelled;
    if (error.error.type === FailureType.BudgetReached) return ExitCode.budget;
    return NOT_SET_UP.includes(error.error.type) ? ExitCode.unreachable : ExitCode.failed;
  }
  if (!(error instanceof VideoError)) return ExitCode.failed;
  switch (error.type) {
    case FailureType.InvalidRequest:
    case FailureType.ReferenceRejected:
      return ExitCode.invalid;
    case FailureType.ReferenceUnreachable:
    case FailureType.RunNotFound:
      return ExitCode.failed;
    default:
      return ExitCode.unreachable;
  }
}

/** A failure for people: what happened, each fault by field, and what to do. */
export function errorText(error: unknown, secrets: readonly string[] = []): string {
  const { message, issues = [], code, next_step } = errorObject(error, secrets);
  const faults = issues
    // A message that consists of one fault, including its field, need not repeat it.
    .filter(({ path, message: fault }) => message !== `${path} ${fault}`)
    .map(({ path, message: fault }) => `  ${path === '' ? 'request' : path}: ${fault}`);
  // The message of a refusal repeats its issues in one line; the list below is easier to read.
  const head = faults.length > 0 ? (message.split(/: /)[0] ?? message) : message;
  return [
    `wan-video: ${head}${code === undefined || head.includes(code) ? '' : ` (${code})`}`,
    ...faults,
    ...(next_step === undefined ? [] : [next_step]),
  ].join('\n');
}

/** The failure of a run for people, in the lines of `status`. */
export function failureText({ type, message, code, billed, next_step }: VideoErrorObject): string {
  return [
    `failure   ${type}${code === undefined ? '' : ` (${code})`}: ${message}`,
    ...(billed === undefined ? [] : [`billed    ${billed ? 'yes' : 'no'}`]),
    ...(next_step === undefined ? [] : [`next      ${next_step}`]),
  ].join('\n');
}

const ORIGIN = {
  generated: 'generated',
  cache: 'from the cache, nothing was bought',
  adopted: 'adopted, nothing was bought again',
} as const;

/** The result of a salvage that found no video to keep. */
export const NO_VIDEO = 'result    no video: nothing was bought, or what was bought is not billed';

function usageText({ billed_seconds, original_billed_seconds, resolution, estimated }: VideoResult['usage']): string {
  const notes = [
    ...(original_billed_seconds === undefined ? [] : [`${original_billed_seconds} s by the run that bought it`]),
    ...(estimated === true ? ['estimated: the provider did not say all of it'] : []),
  ];
  return `${billed_seconds} s billed at ${resolution}${notes.length === 0 ? '' : ` (${notes.join('; ')})`}`;
}

/** A result for people. */
export function resultText(result: VideoResult): string {
  const { duration, fps, width, height, has_audio, bytes, usage } = result;
  return [
    `video     ${result.video_url}`,
    ...(result.original_url === undefined ? [] : [`original  ${result.original_url}`]),
    ...(result.poster_url === undefined ? [] : [`poster    ${result.poster_url}`]),
    `measured  ${duration} s, ${fps} fps, ${width}x${height}, ${has_audio ? 'with sound' : 'silent'}, ${bytes} bytes`,
    `source    ${ORIGIN[result.source]}`,
    `task      ${result.task_id}, seed ${result.seed}, ${usageText(usage)}`,
    ...result.warnings.map(({ code, message }) => `warning   ${code}: ${message}`),
  ].join('\n');
}
