import { AnswerReader } from './answer-reader.js';
import type { Answer } from './http.js';
import { errorAnswer } from './wire.js';

/** Statuses of an answer with a whole body. */
export const WHOLE: ReadonlySet<number> = new Set([200, 201, 202, 203]);

/**
 * Whether a 200 says that the task is cancelled: the documented answer has a request id and no output. A page of a
 * server in between, or an empty object, says nothing.
 */
export function saysCancelled(json: unknown): boolean {
  const answer = new AnswerReader('cancel', json);
  const output = answer.object('output');
  const status = output.text('task_status');
  if (status !== undefined) return /^\s*cancell?ed\s*$/i.test(status);
  const { message } = errorAnswer('cancel', json);
  const isDenied = answer.boolean('success') === false || (message !== undefined && !/^\s*(ok|success)/i.test(message));
  return !isDenied && answer.id('request_id') !== undefined;
}

/** Whether the object store has the file: any status of success, unless the body is a message of an error. */
export function saysUploaded({ status, text, json }: Answer): boolean {
  if (!WHOLE.has(status) && status !== 204) return false;
  const isErrorPage = /<(error|html|!doctype\s+html)[\s>]/i.test(text.slice(0, 1024));
  return !isErrorPage && errorAnswer('upload', json).code === undefined;
}
