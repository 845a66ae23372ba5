import { lookup as systemLookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import type { AddressPolicy } from './address-policy.js';
import { HTTP_1_ONLY } from './dispatcher.js';

/** Resolves a host name to all of its addresses. */
export type Lookup = (
  hostname: string,
) => Promise<ReadonlyArray<{ readonly address: string; readonly family: number }>>;

/** A connection was not made, or dropped unused, because its address is not allowed. */
export class AddressRefusedError extends Error {
  override readonly name = 'AddressRefusedError';
}

/**
 * A connector for undici's `Agent` that reaches only addresses which `policy` allows. A name is resolved once, every
 * address of the answer is judged, and the connection goes to those very addresses, so that a second, different DNS
 * answer has no effect; the address that the socket reports is judged once more before a byte of a request is sent.
 */
export function guardedConnector(
  policy: AddressPolicy,
  lookup: Lookup = (hostname) => systemLookup(hostname, { all: true }),
): buildConnector.connector {
  return (options, callback) => {
    const { hostname } = options;
    const refuse = (fault: string) => callback(new AddressRefusedError(fault), null);
    // Literal addresses never reach the look-up.
    const literal = isIP(hostname) === 0 ? undefined : policy.faultOfAddress(hostname, hostname);
    if (literal !== undefined) return refuse(literal);
    const pinned: LookupFunction = (name, wish, done) => {
      lookup(name).then(
        (answers) => {
          const [first] = answers;
          if (first === undefined) return done(new Error(`${name} has no address`), '');
          for (const { address } of answers) {
            const fault = policy.faultOfAddress(address, hostname);
            if (fault !== undefined) return done(new AddressRefusedError(`${hostname} leads to ${fault}`), '');
          }
          if (wish.all === true) return done(null, [...answers]);
          return done(null, first.address, first.family);
        },
        (error) => done(error, ''),
      );
    };
    return buildConnector({ lookup: pinned, ...HTTP_1_ONLY })(options, (error, socket) => {
      if (error !== null) return callback(error, null);
      const fault = policy.faultOfAddress(socket.remoteAddress ?? 'an unknown peer', hostname);
      if (fault === undefined) return callback(null, socket);
      socket.destroy();
      return refuse(fault);
    });
  };
}
