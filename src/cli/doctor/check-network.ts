import type { Config } from '../../config/config.js';
import { proxyName } from '../../net/proxies.js';
import { readAuthorities } from '../../net/trust.js';

/** By which ways connections leave, and whom they trust: no password, and whether the file of authorities can be used. */
export async function checkNetwork({ proxies, authoritiesFile }: Config): Promise<string> {
  const { http, https, except } = proxies;
  const ways = [
    ...(https === undefined ? [] : [`https and Temporal through ${proxyName(https)}`]),
    ...(http === undefined ? [] : [`http through ${proxyName(http)}`]),
    ...(https === undefined && http === undefined
      ? ['no proxy']
      : [`directly to ${['loopback', ...except].join(', ')}`]),
  ];
  if (authoritiesFile === undefined) return `${ways.join('; ')}; the usual certificate authorities`;
  const { count } = readAuthorities(authoritiesFile);
  return `${ways.join('; ')}; ${count} more certificate ${count === 1 ? 'authority' : 'authorities'} from ${authoritiesFile}`;
}
