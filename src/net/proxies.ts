import { BlockList, isIP } from 'node:net';
import { Agent, type buildConnector, Dispatcher, ProxyAgent } from 'undici';
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

/**
 * The settings of every connection of ours. HTTP/1.1 only: one request per connection is what makes "its body was never
 * begun" a proof that a submit was not sent, while HTTP/2 puts requests on a shared connection and may repeat them.
 */
export const HTTP_1_ONLY = { allowH2: false } as const;

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

/**
 * Sends each request through the proxy that leads to its host, or directly. Every proxied connection is a CONNECT
 * tunnel, also for plain http: a proxy that refuses answers before the request is begun, so a refused submit was not
 * sent. Close it when it is no longer needed.
 * @param options.connect - Opens the direct connections. The tunnelled ones are resolved by the proxy.
 */
export function createDispatcher(
  proxies: Proxies,
  options: { readonly connect?: buildConnector.connector | undefined } = {},
): Dispatcher {
  return new OutboundDispatcher(proxies, options.connect);
}

class OutboundDispatcher extends Dispatcher {
  readonly #proxies: Proxies;
  readonly #direct: Agent;
  readonly #tunnels = new Map<string, ProxyAgent>();

  constructor(proxies: Proxies, connect: buildConnector.connector | undefined) {
    super();
    this.#proxies = proxies;
    this.#direct = new Agent({ ...HTTP_1_ONLY, ...(connect !== undefined && { connect }) });
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#for(new URL(String(options.origin))).dispatch(options as Agent.DispatchOptions, handler);
  }

  override close(callback?: () => void): Promise<void> {
    return Promise.all([...this.#all()].map((one) => one.close())).then(() => callback?.());
  }

  override destroy(reason?: Error | null | (() => void), callback?: () => void): Promise<void> {
    const error = reason instanceof Error ? reason : null;
    const done = typeof reason === 'function' ? reason : callback;
    return Promise.all([...this.#all()].map((one) => one.destroy(error))).then(() => done?.());
  }

  #for(origin: URL): Dispatcher {
    const uri = proxyOf(origin, this.#proxies)?.href;
    if (uri === undefined) return this.#direct;
    const tunnel = this.#tunnels.get(uri) ?? new ProxyAgent({ uri, proxyTunnel: true, ...HTTP_1_ONLY });
    this.#tunnels.set(uri, tunnel);
    return tunnel;
  }

  #all(): Dispatcher[] {
    return [this.#direct, ...this.#tunnels.values()];
  }
}

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
