import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { FailureType } from '../contract/failure-type.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import { findDuplicateKeys } from './duplicate-keys.js';

/** A kind of JSON file that an environment variable names. */
export interface NamedFile {
  /** Such as `WAN_VIDEO_PRICES`. */
  readonly variable: string;
  /** As messages call it, such as `price list`. */
  readonly title: string;
  /** How it is to be written, or how to do without. */
  readonly nextStep: string;
}

/**
 * Reads the text of a file that a variable or a field names.
 * @returns the text, or why there is none, for a message that names the file.
 */
export async function textOf(path: string): Promise<{ readonly text?: string; readonly why?: string }> {
  try {
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { why: (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read' };
  }
}

/** @throws {@link VideoError} `ConfigurationInvalid` when the file cannot be read. */
export async function readNamedFile(kind: NamedFile, file: string): Promise<string> {
  const { text, why } = await textOf(file);
  if (text === undefined) throw unusable(kind, file, [{ path: kind.variable, message: `names ${file}, which ${why}` }]);
  return text;
}

/**
 * What a file says, with the faults of its form; the reader adds its own before it throws them with {@link unusable}.
 * @throws {@link VideoError} `ConfigurationInvalid` when the text is no JSON.
 */
export function parseNamedFile<T>(
  kind: NamedFile,
  file: string,
  text: string,
  schema: z.ZodType<T>,
): { readonly value: unknown; readonly data: T | undefined; readonly issues: Issue[] } {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    throw unusable(kind, file, [{ path: kind.variable, message: `names ${file}, which is not JSON` }]);
  }
  const { data, error } = schema.safeParse(value);
  const issues = (error?.issues ?? []).flatMap((issue) => issuesOf(kind, issue));
  return { value, data, issues: [...issues, ...findDuplicateKeys(text)] };
}

/** For a schema: the text for a value of the wrong shape; unknown fields are reported one by one. */
export const unlessUnknown =
  (text: string) =>
  (issue: { code?: string | undefined }): string | undefined =>
    issue.code === 'invalid_type' ? text : undefined;

/** The error for a file with faults, all of them at once. */
export function unusable({ title, nextStep }: NamedFile, file: string, issues: readonly Issue[]): VideoError {
  const text = issues.map(({ path, message }) => `${path} ${message}`).join('; ');
  return new VideoError(FailureType.ConfigurationInvalid, `The ${title} ${file} is not usable: ${text}`, {
    issues,
    billed: false,
    nextStep,
  });
}

function issuesOf({ variable, title }: NamedFile, issue: z.core.$ZodIssue): Issue[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...issue.path, key].join('.'), message: `is not a field of a ${title}` }));
  }
  // The inner issue describes a name of the wrong form.
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return [{ path: issue.path.join('.') || variable, message }];
}
