import type { Config } from '../../config/config.js';
import { proxyName } from '../../net/proxies.js';
import { readAuthorities } from '../../net/trust.js';

/** Which proxies connections use, without passwords, and which certificate authorities they trust. */
export async function checkNetwork({ proxies, authoritiesFile }: Config): Promise<string> {
  const { http, https, except } = proxies;
  const routes = [
    ...(https === undefined ? [] : [`https and Temporal through ${proxyName(https)}`]),
    ...(http === undefined ? [] : [`http through ${proxyName(http)}`]),
    ...(https === undefined && http === undefined
      ? ['no proxy']
      : [`directly to ${['loopback', ...except].join(', ')}`]),
  ];
  if (authoritiesFile === undefined) return `${routes.join('; ')}; the default certificate authorities`;
  const { count } = readAuthorities(authoritiesFile);
  const authorities = count === 1 ? 'authority' : 'authorities';
  return `${routes.join('; ')}; ${count} more certificate ${authorities} from ${authoritiesFile}`;
}
