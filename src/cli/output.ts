import { VideoRunError } from '../client/video-client.js';
import { FailureType } from '../contract/failure-type.js';
import type { VideoResult } from '../contract/result.js';
import { VideoError } from '../contract/video-error.js';
import { redactText } from '../dashscope/redact.js';
import { ExitCode } from './exit-code.js';

/** The published error object of any failure. */
export function errorObject(error: unknown): Record<string, unknown> {
  if (error instanceof VideoRunError) return error.error;
  if (error instanceof VideoError) {
    const { type, message, issues, code, taskId, requestId, billed, nextStep } = error;
    return {
      type,
      message: redactText(message),
      issues,
      code,
      task_id: taskId,
      request_id: requestId,
      billed,
      next_step: nextStep,
    };
  }
  return { type: 'UnexpectedError', message: redactText(error instanceof Error ? error.message : String(error)) };
}

/** The exit code that belongs to a failure. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof VideoRunError) {
    if (error.cancelled) return ExitCode.cancelled;
    const account: unknown[] = [
      FailureType.CredentialsMissing,
      FailureType.CredentialsRejected,
      FailureType.AccountBlocked,
    ];
    return account.includes(error.error['type']) ? ExitCode.unreachable : ExitCode.failed;
  }
  if (!(error instanceof VideoError)) return ExitCode.failed;
  switch (error.type) {
    case FailureType.InvalidRequest:
    case FailureType.ReferenceRejected:
      return ExitCode.invalid;
    case FailureType.ReferenceUnreachable:
      return ExitCode.failed;
    default:
      return ExitCode.unreachable;
  }
}

/** A failure for people: what, each fault by field, and what to do. */
export function errorText(error: unknown): string {
  const { message, issues, next_step } = errorObject(error) as {
    message: string;
    issues?: { path: string; message: string }[];
    next_step?: string;
  };
  const faults = (issues ?? []).map(({ path, message: fault }) => `  ${path === '' ? 'request' : path}: ${fault}`);
  const head = faults.length > 0 ? (message.split(':')[0] ?? message) : message;
  return [`wan-video: ${head}`, ...faults, ...(next_step === undefined ? [] : [next_step])].join('\n');
}

/** A result for people. */
export function resultText(result: VideoResult): string {
  const origin = {
    generated: 'generated',
    cache: 'from the cache, nothing was bought',
    adopted: 'adopted, nothing was bought again',
  };
  return [
    `video     ${result.video_url}`,
    `measured  ${result.duration} s, ${result.fps} fps, ${result.width}x${result.height}, ${result.has_audio ? 'with sound' : 'silent'}, ${result.bytes} bytes`,
    `source    ${origin[result.source]}`,
    `task      ${result.task_id}, seed ${result.seed}, ${result.usage.billed_seconds} s billed at ${result.usage.resolution}`,
    ...result.warnings.map(({ code, message }) => `warning   ${code}: ${message}`),
  ].join('\n');
}
