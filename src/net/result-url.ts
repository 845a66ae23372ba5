import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { createAddressPolicy, isLoopbackHost } from './address-policy.js';

/** What result links are judged by. */
export interface ResultUrlRules {
  /** The provider's own address. While it is loopback (an emulator), its links may lead anywhere by http. */
  readonly baseUrl: string;
  /** Hosts, addresses or CIDR blocks that are allowed although they are private. */
  readonly allow: readonly string[];
}

/**
 * Checks where a result link leads before anything is downloaded: https, no user name, a public host. The address behind a
 * host name is judged by the connector that opens it.
 * @throws {@link VideoError} `ResultRejected`; the message names the host, never the link.
 */
export function assertResultUrl(link: string, { baseUrl, allow }: ResultUrlRules): void {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  const fault = url === undefined ? 'it is not a URL' : faultOf(url, baseUrl, allow);
  if (fault === undefined) return;
  throw new VideoError(FailureType.ResultRejected, `The link of the result is not followed: ${fault}`, {
    billed: true,
    nextStep:
      'Check DASHSCOPE_HTTP_BASE_URL; a private host can be opened in WAN_VIDEO_ALLOW_PRIVATE_URLS of the worker.',
  });
}

function faultOf(url: URL, baseUrl: string, allow: readonly string[]): string | undefined {
  if (isLoopbackHost(new URL(baseUrl).hostname) && url.protocol === 'http:') return undefined;
  if (url.protocol !== 'https:') return `the scheme ${url.protocol} of ${url.host} is not https`;
  return createAddressPolicy(allow).faultOfUrl(url);
}
