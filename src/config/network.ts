import { resolve } from 'node:path';
import type { Proxies } from '../net/proxies.js';

/** How connections leave this machine. */
export interface Network {
  readonly proxies: Proxies;
  /** File with further certificate authorities. */
  readonly authoritiesFile?: string | undefined;
}

/**
 * Reads HTTP_PROXY, HTTPS_PROXY, NO_PROXY (or their lower-case forms, which come first, as for curl) and
 * NODE_EXTRA_CA_CERTS; pure.
 * @param fail - Called with every fault and the variable that has it.
 * @param isLocal - No proxy leads to the other side, so that an ALL_PROXY that nothing uses does no harm.
 */
export function readNetwork(
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
  fail: (variable: string, message: string) => void,
  isLocal = true,
): Network {
  const read = (name: string): readonly [variable: string, value: string] | undefined => {
    for (const variable of [name.toLowerCase(), name]) {
      const value = env[variable]?.trim();
      if (value) return [variable, value];
    }
    return undefined;
  };
  const proxy = (found: ReturnType<typeof read>): URL | undefined => {
    if (found === undefined) return undefined;
    const [variable, value] = found;
    const url = URL.canParse(value) ? new URL(value) : undefined;
    const usable = url?.protocol === 'http:' && url.hostname !== '' && url.pathname === '/' && url.search === '';
    if (usable) return url;
    // The value may hold a password.
    const socks = url?.protocol.startsWith('socks') ? 'SOCKS is not supported; it ' : '';
    fail(variable, `${socks}must be the address of an http proxy, such as http://proxy.example:3128`);
    return undefined;
  };
  const http = proxy(read('HTTP_PROXY'));
  // Without one of its own https goes the way of http, as with the libraries that have read these variables so far.
  const https = proxy(read('HTTPS_PROXY')) ?? http;
  const except = (read('NO_PROXY')?.[1] ?? '').split(/[\s,]+/).filter((entry) => entry !== '');
  // Nothing here honours ALL_PROXY: a provider on another machine would be reached directly, against the operator's
  // wish.
  const all = read('ALL_PROXY');
  if (all !== undefined && https === undefined && !isLocal && !except.includes('*')) {
    fail(all[0], 'is not used; set HTTPS_PROXY and HTTP_PROXY to an http proxy instead, or NO_PROXY to *');
  }
  const file = env['NODE_EXTRA_CA_CERTS']?.trim();
  return {
    proxies: { ...(http !== undefined && { http }), ...(https !== undefined && { https }), except },
    ...(file && { authoritiesFile: resolve(cwd, file) }),
  };
}
