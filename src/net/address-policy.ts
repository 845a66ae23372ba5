import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Decides which addresses a foreign URL may lead to. Faults are sentences without a query string. */
export interface AddressPolicy {
  /**
   * Checks scheme, user name and host of a URL, without a DNS query. A host name that passes says nothing yet about the
   * address behind it.
   */
  faultOfUrl(url: URL): string | undefined;
  /**
   * Checks an address before and after a connection to it.
   * @param hostname - The name it was resolved from, for hosts that are allowed by name.
   */
  faultOfAddress(address: string, hostname: string): string | undefined;
}

/** Names in messages of the ranges of the address registries (RFC 6890 and its successors). */
const RANGE_NAMES: Readonly<Record<string, string>> = {
  unspecified: 'an unspecified address',
  loopback: 'a loopback address',
  private: 'a private address',
  linkLocal: 'a link-local address, where machines publish their credentials',
  carrierGradeNat: 'an address of carrier-grade NAT',
  multicast: 'a multicast address',
  broadcast: 'a broadcast address',
  uniqueLocal: 'a private address',
  deprecatedSiteLocal: 'a site-local address',
  ipv4Mapped: 'a mapped address',
};

/**
 * Names that lead into a private network by convention (RFC 6761, 6762, 8375 and the `internal` top-level domain of
 * ICANN).
 */
const PRIVATE_NAMES = /(^|\.)(localhost|local|internal|home\.arpa|localdomain|lan|intranet|corp|home)$/;

/**
 * Allows public addresses, and those in `allow`.
 * @param allow - Host names, addresses or CIDR blocks that may be reached although they are private
 * (`WAN_VIDEO_ALLOW_PRIVATE_URLS`). A host name in it is allowed with every address that it resolves to.
 */
export function createAddressPolicy(allow: readonly string[]): AddressPolicy {
  const hosts = new Set<string>();
  const blocks: Block[] = [];
  for (const entry of allow) {
    const block = parseBlock(entry);
    if (block === undefined) hosts.add(plainHost(entry));
    else blocks.push(block);
  }
  const faultOfAddress = (address: string, hostname: string): string | undefined => {
    if (hosts.has(plainHost(hostname))) return undefined;
    if (!ipaddr.isValid(address)) return `${address} is not an address`;
    // `process` turns an IPv4-mapped address into the IPv4 one that the socket would reach.
    const parsed = ipaddr.process(address);
    if (blocks.some((block) => contains(block, parsed))) return undefined;
    const kind = specialRange(parsed);
    return kind === undefined ? undefined : `${parsed.toString()} is ${kind}`;
  };
  return {
    faultOfAddress,
    faultOfUrl(url) {
      if (url.protocol !== 'http:' && url.protocol !== 'https:')
        return `the scheme ${url.protocol} is not http or https`;
      if (url.username !== '' || url.password !== '') return 'the URL carries a user name or password';
      const host = plainHost(url.hostname);
      if (isIP(host) !== 0) return faultOfAddress(host, host);
      if (hosts.has(host)) return undefined;
      if (isLoopbackHost(host) && blocks.some((block) => contains(block, ipaddr.parse('127.0.0.1')))) return undefined;
      if (PRIVATE_NAMES.test(host)) return `${host} is a name inside a private network`;
      // Resolved by search domains, so it leads inside; no public image is served from a bare label.
      if (!host.includes('.')) return `${host} is not a public host name`;
      return undefined;
    },
  };
}

/** Whether a URL's host names this machine itself. */
export function isLoopbackHost(hostname: string): boolean {
  const host = plainHost(hostname);
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  return ipaddr.isValid(host) && isIP(host) !== 0 && ipaddr.process(host).range() === 'loopback';
}

/** Without brackets, a final dot and capitals: one spelling for each host. */
function plainHost(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
}

type Address = ReturnType<typeof ipaddr.process>;
interface Block {
  readonly base: Address;
  readonly bits: number;
}

function parseBlock(entry: string): Block | undefined {
  const [text = '', bits] = plainHost(entry).split('/');
  if (isIP(text) === 0) return undefined;
  const base = ipaddr.process(text);
  const most = base.kind() === 'ipv4' ? 32 : 128;
  // ::ffff:10.0.0.0/104 counts its bits in the mapped form.
  const mapped = base.kind() === 'ipv4' && isIP(text) === 6 ? 96 : 0;
  const length = bits === undefined ? most : Number(bits) - mapped;
  return Number.isInteger(length) && length >= 0 && length <= most ? { base, bits: length } : undefined;
}

function contains({ base, bits }: Block, address: Address): boolean {
  return base.kind() === address.kind() && address.match(base, bits);
}

/** The reason why an address is not globally reachable; `undefined` for one that is. */
function specialRange(address: Address): string | undefined {
  const range = address.range();
  if (address instanceof ipaddr.IPv6) {
    const bytes = address.toByteArray();
    // 64:ff9b::/96 is how a network without IPv4 reaches IPv4: the address inside decides.
    if (address.match(ipaddr.IPv6.parse('64:ff9b::'), 96)) {
      const inner = ipaddr.fromByteArray(bytes.slice(12));
      const kind = specialRange(inner);
      return kind === undefined ? undefined : `a translation of ${inner.toString()}, ${kind}`;
    }
    // Only 2000::/3 is assigned; the rest holds IPv4-compatible and other forms that name a machine inside a network.
    if (range === 'unicast' && ((bytes[0] ?? 0) & 0xe0) !== 0x20) return 'not a public address';
  }
  return range === 'unicast' ? undefined : (RANGE_NAMES[range] ?? `not a public address (${range})`);
}
