import http from 'node:http';
import https from 'node:https';
import { HttpProxyAgent, type HttpProxyAgentOptions, HttpsProxyAgent, type HttpsProxyAgentOptions } from 'hpagent';
import { type Proxies, proxyOf } from './proxies.js';

/** How many connections a client of Node's own http keeps to one host, as the AWS SDK does by itself. */
const SOCKETS_MAX = 50;

/** Agents for clients of Node's own http. */
export interface ProxyAgents {
  readonly httpAgent: http.Agent;
  readonly httpsAgent: https.Agent;
}

/** Agents that reach each host as {@link proxyOf} says; `undefined` when there is no proxy at all. */
export function proxyAgents(proxies: Proxies): ProxyAgents | undefined {
  const httpProxy = proxies.http ?? proxies.https;
  const httpsProxy = proxies.https ?? proxies.http;
  if (httpProxy === undefined || httpsProxy === undefined) return undefined;
  const options = { keepAlive: true, maxSockets: SOCKETS_MAX };
  return {
    httpAgent: new OutboundHttpAgent({ ...options, proxy: httpProxy }, proxies),
    httpsAgent: new OutboundHttpsAgent({ ...options, proxy: httpsProxy }, proxies),
  };
}

type Opened = ReturnType<http.Agent['createConnection']>;
type Callback = Parameters<http.Agent['createConnection']>[1];

const isDirect = (scheme: string, { host, port }: http.ClientRequestArgs, proxies: Proxies): boolean =>
  proxyOf(new URL(`${scheme}//${host?.includes(':') ? `[${host}]` : host}:${port}`), proxies) === undefined;

class OutboundHttpAgent extends HttpProxyAgent {
  readonly #proxies: Proxies;

  constructor(options: HttpProxyAgentOptions, proxies: Proxies) {
    super(options);
    this.#proxies = proxies;
  }

  /** Called by Node for each new connection. */
  override createConnection(options: http.ClientRequestArgs, callback?: Callback): Opened {
    return isDirect('http:', options, this.#proxies)
      ? http.Agent.prototype.createConnection.call(this, options, callback)
      : super.createConnection(options, callback);
  }
}

class OutboundHttpsAgent extends HttpsProxyAgent {
  readonly #proxies: Proxies;

  constructor(options: HttpsProxyAgentOptions, proxies: Proxies) {
    super(options);
    this.#proxies = proxies;
  }

  /** Called by Node for each new connection. */
  override createConnection(options: https.RequestOptions, callback?: Callback): Opened {
    return isDirect('https:', options, this.#proxies)
      ? https.Agent.prototype.createConnection.call(this, options, callback)
      : super.createConnection(options, callback);
  }
}
