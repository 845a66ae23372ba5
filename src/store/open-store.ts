import { homedir } from 'node:os';
import { readNetwork } from '../config/network.js';
import { readStoreLocation } from '../config/store-location.js';
import { FailureType } from '../contract/failure-type.js';
import { AN_ENVIRONMENT, checkOptions } from '../contract/options.js';
import { type Issue, VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { openStore as openLocation } from '../storage/open-store.js';
import { s3ClientOf } from '../storage/s3-client-of.js';

/** How a store is opened. */
export interface OpenStoreOptions {
  /**
   * The variables that configure it: `AWS_REGION`, `AWS_ENDPOINT_URL_S3`, the keys of AWS, and the proxies. What is not
   * in it the AWS SDK finds itself: in profiles, roles and the variables of the process. Default: those of the process.
   */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Opens an asset store by its address, as `ASSET_STORE` has it. It is first used, and thereby tried, by its first call.
 * @param url - `s3://bucket/prefix`, or `file:PATH` for a directory.
 * @throws VideoError `ConfigurationInvalid` for another address, and for options or variables that cannot be used.
 * @example
 * ```ts
 * const store = openStore('s3://videos/spring', { env: process.env });
 * const videos = new WanVideoClient({ client: await connectClient(temporalFromEnv()), store });
 * ```
 */
export function openStore(url: string, options: OpenStoreOptions = {}): AssetStore {
  checkOptions('openStore', options, { env: AN_ENVIRONMENT });
  const env = options.env ?? process.env;
  const issues: Issue[] = [];
  const fail = (path: string, message: string) => void issues.push({ path, message });
  const where = { cwd: process.cwd(), homeDir: homedir() };
  const location = typeof url === 'string' ? readStoreLocation(url, where) : undefined;
  if (location === undefined) fail('url', 'must be s3://bucket/prefix or file:PATH');
  const { proxies } = readNetwork(env, where.cwd, fail);
  if (location === undefined || issues.length > 0) {
    const text = issues.map(({ path, message }) => `${path} ${message}`).join('; ');
    throw new VideoError(FailureType.ConfigurationInvalid, `The asset store cannot be opened: ${text}`, {
      issues,
      nextStep: 'Correct what is named; nothing was connected.',
    });
  }
  return openLocation(location, { proxies, s3: options.env === undefined ? undefined : s3ClientOf(options.env) });
}
