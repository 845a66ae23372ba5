import ipaddr from 'ipaddr.js';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/**
 * Refuses a `file:` store together with a Temporal that other machines can reach: each worker there would have a ledger
 * of its own, and would buy the same video once more. Pure.
 *
 * @param setup.temporalAddress - `host:port` of the Temporal server.
 * @param setup.sharedFileStore - WAN_VIDEO_SHARED_FILE_STORE=1: the operator confirms that all worker hosts share this
 * directory.
 * @throws {@link VideoError} `ConfigurationInvalid` naming the two ways out.
 */
export function checkSharedFileStore(setup: {
  readonly store: 'file' | 's3';
  readonly temporalAddress: string;
  readonly sharedFileStore: boolean;
}): void {
  const { store, temporalAddress, sharedFileStore } = setup;
  if (store !== 'file' || sharedFileStore || isLoopback(temporalAddress)) return;
  throw new VideoError(
    FailureType.ConfigurationInvalid,
    `ASSET_STORE is a local directory, but Temporal at ${temporalAddress} can have workers on other machines, ` +
      `which would not see what was bought`,
    {
      billed: false,
      issues: [{ path: 'ASSET_STORE', message: 'is a local directory while Temporal is not on this machine' }],
      nextStep:
        'Set ASSET_STORE to s3://bucket/prefix. If every worker host really shares this directory, set ' +
        'WAN_VIDEO_SHARED_FILE_STORE=1.',
    },
  );
}

function isLoopback(address: string): boolean {
  const bare = address.replace(/^https?:\/\//, '').toLowerCase();
  const host = ipaddr.IPv6.isValid(bare) ? bare : bare.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  // process() reads IPv4-mapped IPv6 as IPv4. Strict forms only: "127.1" is left to the resolver, and is refused here.
  const literal = ipaddr.IPv4.isValidFourPartDecimal(host) || ipaddr.IPv6.isValid(host);
  return literal && ipaddr.process(host).range() === 'loopback';
}
