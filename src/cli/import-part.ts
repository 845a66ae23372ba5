import { readFileSync } from 'node:fs';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/**
 * Loads a part of the command that needs packages which only development has.
 * @param part - Its name, for the message.
 * @throws VideoError `ConfigurationInvalid` that says what to install, where one of them is missing.
 */
export async function importPart<T>(part: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
    const { peerDependencies } = JSON.parse(text) as { readonly peerDependencies: Readonly<Record<string, string>> };
    const peers = Object.entries(peerDependencies);
    if (code !== 'ERR_MODULE_NOT_FOUND' || !peers.some(([name]) => message.includes(`'${name}'`))) throw cause;
    throw new VideoError(FailureType.ConfigurationInvalid, `${part} needs packages that a worker does without`, {
      cause,
      nextStep: `Install them: npm install ${peers.map(([name, version]) => `${name}@${version}`).join(' ')}`,
    });
  }
}
