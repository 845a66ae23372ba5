import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** A secret that prints as `[secret]` everywhere but through {@link Secret.reveal}. */
export class Secret {
  readonly #value: string;
  /** Where it came from, in words; safe to print. */
  readonly source: string;

  constructor(value: string, source: string) {
    this.#value = value;
    this.source = source;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Finds the provider key: `DASHSCOPE_API_KEY`, else the file named by `DASHSCOPE_API_KEY_FILE_PATH`, else
 * `dashscope_api_key` in `[default]` (or the profile `ALIBABA_CLOUD_PROFILE`) of `~/.alibabacloud/credentials`.
 * Reads the files on every call, so that a renewed key is found.
 * @throws {@link VideoError} `CredentialsMissing`, naming all three places and what is wrong with each.
 */
export async function resolveApiKey(env: Env, { homeDir }: { readonly homeDir: string }): Promise<Secret> {
  const issues: { path: string; message: string }[] = [];
  const direct = env['DASHSCOPE_API_KEY']?.trim();
  if (direct) return new Secret(direct, 'DASHSCOPE_API_KEY');
  issues.push({ path: 'DASHSCOPE_API_KEY', message: 'is not set' });

  const file = env['DASHSCOPE_API_KEY_FILE_PATH']?.trim();
  if (file) {
    const key = (await readText(file)).text?.trim();
    if (key) return new Secret(key, `file ${file} (DASHSCOPE_API_KEY_FILE_PATH)`);
    issues.push({ path: 'DASHSCOPE_API_KEY_FILE_PATH', message: `names ${file}, which is empty or cannot be read` });
  } else {
    issues.push({ path: 'DASHSCOPE_API_KEY_FILE_PATH', message: 'is not set' });
  }

  const ini = join(homeDir, '.alibabacloud', 'credentials');
  const profile = env['ALIBABA_CLOUD_PROFILE']?.trim() || 'default';
  const { text, why } = await readText(ini);
  const key = text === undefined ? undefined : iniValue(text, profile, 'dashscope_api_key');
  if (key) return new Secret(key, `[${profile}] of ${ini}`);
  issues.push({ path: ini, message: why ?? `has no dashscope_api_key in [${profile}]` });

  throw new VideoError(
    FailureType.CredentialsMissing,
    `No provider key: ${issues.map(({ path, message }) => `${path} ${message}`).join('; ')}`,
    {
      issues,
      nextStep:
        `Set DASHSCOPE_API_KEY, or name a key file in DASHSCOPE_API_KEY_FILE_PATH, or write ` +
        `dashscope_api_key into ${ini}.`,
    },
  );
}

async function readText(path: string): Promise<{ readonly text?: string; readonly why?: string }> {
  try {
    return { text: await readFile(path, 'utf8') };
  } catch (error) {
    return { why: (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : 'cannot be read' };
  }
}

function iniValue(text: string, section: string, name: string): string | undefined {
  let current = '';
  for (const raw of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    const line = raw.trim();
    if (line.startsWith('#') || line.startsWith(';')) continue;
    const heading = /^\[\s*(.+?)\s*\]$/.exec(line)?.[1];
    if (heading !== undefined) current = heading;
    const at = line.indexOf('=');
    if (at < 0 || current !== section || line.slice(0, at).trim().toLowerCase() !== name) continue;
    const value = line
      .slice(at + 1)
      .trim()
      .replace(/^(["'])(.*)\1$/, '$2');
    if (value !== '') return value;
  }
  return undefined;
}
