import { request } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { proxyName } from '../net/proxies.js';
import { untrustedHint } from '../net/trust.js';
import type { TemporalTarget } from './temporal-target.js';

/**
 * With the failed attempt before it, this stays within the 10 s in which a command has to report that Temporal is down.
 */
const PROBE_MS = 2_500;

/** Why a connection to Temporal fails, and how to fix it. */
export interface ConnectFault {
  readonly fault: string;
  readonly nextStep?: string | undefined;
}

const NO_ANSWER: ConnectFault = { fault: 'nothing there answers as Temporal does' };

interface Tls {
  readonly serverNameOverride?: string;
  readonly serverRootCACertificate?: Uint8Array;
  readonly clientCertPair?: { readonly crt: Uint8Array; readonly key: Uint8Array };
}

/**
 * Opens one connection as Temporal's client does, through the proxy and with TLS, because the client does not report
 * why it gave up.
 * @param address - `host:port`.
 * @returns the first fault of the connection; where it has none, that its other end is no Temporal that answers.
 */
export async function findConnectFault(address: string, { connection, proxy }: TemporalTarget): Promise<ConnectFault> {
  const signal = AbortSignal.timeout(PROBE_MS);
  const sockets: Socket[] = [];
  try {
    const socket = await (proxy === undefined
      ? connectDirectly(address, signal)
      : connectThrough(proxy, address, signal));
    sockets.push(socket);
    const { tls, apiKey } = connection as { tls?: Tls | boolean | null; apiKey?: unknown };
    if (tls === null || !(tls ?? apiKey)) return NO_ANSWER;
    const found = await findTlsFault(socket, hostOf(address), typeof tls === 'object' ? tls : {}, signal);
    return found ?? NO_ANSWER;
  } catch (error) {
    if (signal.aborted) return NO_ANSWER;
    const { code, message } = error as NodeJS.ErrnoException;
    return { fault: code ?? message, nextStep: error instanceof ProxyFault ? error.nextStep : undefined };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

class ProxyFault extends Error {
  readonly nextStep = 'Check HTTPS_PROXY, or name the host in NO_PROXY.';
}

const hostOf = (address: string): string => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');

function connectDirectly(address: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: hostOf(address), port: Number(/\d+$/.exec(address)?.[0]), signal });
    socket.once('connect', () => resolve(socket)).once('error', reject);
  });
}

function connectThrough(proxy: URL, address: string, signal: AbortSignal): Promise<Socket> {
  const { hostname, port, username, password } = proxy;
  const user = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const headers = { host: address, ...(username !== '' && { 'proxy-authorization': `Basic ${user}` }) };
  return new Promise((resolve, reject) => {
    request({ method: 'CONNECT', host: hostname, port: port || 80, path: address, headers, signal, agent: false })
      .once('connect', ({ statusCode }, socket) => {
        if (statusCode === 200) return resolve(socket as Socket);
        socket.destroy();
        return reject(new ProxyFault(`the proxy answers with ${statusCode}`));
      })
      .once('response', ({ statusCode }) => reject(new ProxyFault(`the proxy answers with ${statusCode}`)))
      .once('error', ({ message }) => reject(new ProxyFault(`the proxy ${proxyName(proxy)} fails: ${message}`)))
      .end();
  });
}

function findTlsFault(socket: Socket, host: string, tls: Tls, signal: AbortSignal): Promise<ConnectFault | undefined> {
  const servername = tls.serverNameOverride ?? host;
  return new Promise((resolve) => {
    const secured = connectTls({
      socket,
      host: servername,
      ALPNProtocols: ['h2'],
      ...(isIP(servername) === 0 && { servername }),
      ...(tls.serverRootCACertificate !== undefined && { ca: Buffer.from(tls.serverRootCACertificate) }),
      ...(tls.clientCertPair !== undefined && {
        cert: Buffer.from(tls.clientCertPair.crt),
        key: Buffer.from(tls.clientCertPair.key),
      }),
    });
    // A server that requires a client certificate refuses only after the handshake; one that accepts sends its
    // settings.
    secured.once('data', () => resolve(undefined));
    secured.once('error', (error: NodeJS.ErrnoException) => {
      const wantsCertificate = /certificate.required|handshake.failure|bad.certificate|unknown.ca/i.test(error.message);
      const hint = wantsCertificate
        ? 'Name a certificate that it accepts: TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH.'
        : undefined;
      resolve({ fault: error.code ?? error.message, nextStep: untrustedHint(error) ?? hint });
    });
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
