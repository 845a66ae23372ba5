import { BlockList, isIP } from 'node:net';
import { isLoopbackHost } from './address-policy.js';

/** Which connections go through a proxy. */
export interface Proxies {
  /** For plain http. */
  readonly http?: URL | undefined;
  /** For https and Temporal. */
  readonly https?: URL | undefined;
  /**
   * Reached directly: a host and everything below it, an address, a CIDR block, each with or without a port, or `*`.
   * Loopback always is.
   */
  readonly except: readonly string[];
}

/** Everything directly. */
export const NO_PROXIES: Proxies = { except: [] };

const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * The proxy that leads to `target`; `undefined` for one that is reached directly. The one decision for every
 * connection.
 */
export function proxyOf(target: URL, { http, https, except }: Proxies): URL | undefined {
  const host = plain(target.hostname);
  const port = target.port || DEFAULT_PORTS[target.protocol];
  if (isLoopbackHost(host) || except.some((entry) => isExcepted(host, port, entry))) return undefined;
  return target.protocol === 'https:' ? https : http;
}

/** A proxy's name for messages, without user name and password. */
export const proxyName = (proxy: URL): string => `${proxy.protocol}//${proxy.host}`;

function isExcepted(host: string, port: string | undefined, entry: string): boolean {
  if (entry === '*') return true;
  const [, name = entry, wanted] = /^(.+[^:]):(\d+)$/.exec(isIP(entry) === 6 ? '' : entry) ?? [];
  if (wanted !== undefined && wanted !== port) return false;
  const excepted = plain(name.replace(/^\*?\./, ''));
  const [base = '', bits] = excepted.split('/');
  if (bits !== undefined) return isInBlock(host, base, Number(bits));
  return host === excepted || (isIP(host) === 0 && host.endsWith(`.${excepted}`));
}

function isInBlock(host: string, base: string, bits: number): boolean {
  const family = isIP(base);
  if (family === 0 || family !== isIP(host) || !(bits >= 0 && bits <= (family === 4 ? 32 : 128))) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const block = new BlockList();
  block.addSubnet(base, bits, kind);
  return block.check(host, kind);
}

/** Without brackets, a final dot and capitals. */
const plain = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
