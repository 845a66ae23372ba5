import type { Readable } from 'node:stream';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';
import { createAddressPolicy, isLoopbackHost } from './address-policy.js';
import { closeSource } from './chunks.js';
import type { OpenedDownload } from './download.js';
import { decodeStream } from './encoding.js';
import { headerValue } from './headers.js';

/** What result links are judged by. */
export interface ResultUrlRules {
  /** The provider's own address. While it is loopback (an emulator), its links may lead anywhere by http. */
  readonly baseUrl: string;
  /** Hosts, addresses or CIDR blocks that are allowed although they are private. */
  readonly allow: readonly string[];
}

export interface OpenResultOptions {
  /** First byte wanted. */
  readonly from: number;
  readonly rules: ResultUrlRules;
  /** Sends one request to an address that was judged, without following redirects. */
  readonly request: (url: string, from: number) => Promise<OpenedDownload & { readonly body: Readable }>;
}

/** Most redirects that are followed; a store that moved a bucket uses one or two. */
const REDIRECTS_MAX = 5;

/**
 * Opens a result link: follows redirects, each judged like the link itself, asks an `http:` address of a public host by
 * `https:` first, and decodes a body that the server encoded unasked.
 * @throws {@link VideoError} `ResultUnreachable`, retryable: our rules refuse an address, or the redirects do not end.
 * The message names the host, never the link.
 */
export async function openResult(link: string, options: OpenResultOptions): Promise<OpenedDownload> {
  let next = link;
  for (let hop = 0; hop <= REDIRECTS_MAX; hop += 1) {
    const url = judgeResultUrl(next, options.rules);
    const answer = await requestSecurely(url, options);
    const location = headerValue(answer.headers, 'location');
    if (answer.status < 300 || answer.status >= 400 || location === undefined) return decoded(url, answer);
    closeSource(answer.body);
    next = URL.canParse(location, url.href) ? new URL(location, url).href : location;
  }
  throw unreachable(`it is redirected more than ${REDIRECTS_MAX} times`);
}

/**
 * Checks where a result link leads before anything is downloaded: http or https, no user name, a public host. The
 * connector that opens it checks the address behind a host name.
 * @throws {@link VideoError} `ResultUnreachable`, retryable.
 */
export function judgeResultUrl(link: string, { baseUrl, allow }: ResultUrlRules): URL {
  const url = URL.canParse(link) ? new URL(link) : undefined;
  if (url === undefined) throw unreachable('it is not a URL');
  if (isLoopbackHost(new URL(baseUrl).hostname) && url.protocol === 'http:') return url;
  const fault = createAddressPolicy(allow).faultOfUrl(url);
  if (fault !== undefined) throw unreachable(fault);
  return url;
}

/** A public http address is asked by https first: the link is a secret, and the bytes are worth money. */
async function requestSecurely(url: URL, { from, rules, request }: OpenResultOptions) {
  const isPlain = url.protocol === 'http:' && !isLoopbackHost(new URL(rules.baseUrl).hostname);
  if (!isPlain) return request(url.href, from);
  const secure = new URL(url);
  secure.protocol = 'https:';
  try {
    return await request(secure.href, from);
  } catch (error) {
    if (!(error instanceof VideoError)) throw error;
    return request(url.href, from);
  }
}

function decoded(url: URL, answer: OpenedDownload & { readonly body: Readable }): OpenedDownload {
  const encoding = headerValue(answer.headers, 'content-encoding');
  const body = decodeStream(answer.body, encoding);
  if (body === answer.body) return answer;
  if (body === undefined) {
    closeSource(answer.body);
    throw unreachable(`${url.host} sends it in the encoding ${encoding?.slice(0, 20)}`);
  }
  if (answer.status !== 200) {
    closeSource(body);
    throw unreachable(`${url.host} sends a part of it in the encoding ${encoding?.slice(0, 20)}`);
  }
  // Length and tag are those of the encoded bytes.
  const { 'content-length': _length, etag: _etag, ...headers } = answer.headers;
  return { status: 200, headers, body };
}

function unreachable(fault: string): VideoError {
  return new VideoError(FailureType.ResultUnreachable, `The result cannot be downloaded yet: ${fault}`, {
    retryable: true,
    nextStep:
      'Nothing is lost: the link is requested again. If it persists, check DASHSCOPE_HTTP_BASE_URL; ' +
      'WAN_VIDEO_ALLOW_PRIVATE_URLS of the worker opens a private host.',
  });
}
