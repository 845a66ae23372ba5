import { Agent, type buildConnector, Dispatcher, ProxyAgent } from 'undici';
import { type Proxies, proxyOf } from './proxies.js';

/**
 * The settings of every connection of ours. HTTP/1.1 only: one request per connection is what makes "its body was never
 * begun" a proof that a submit was not sent, while HTTP/2 puts requests on a shared connection and may repeat them.
 */
export const HTTP_1_ONLY = { allowH2: false } as const;

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
