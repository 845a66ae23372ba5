import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate with its key, as files and as text. */
interface Pair {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A private certificate authority and what it has signed. */
export interface Certificates {
  /** The authority's certificate: what others are to trust. */
  readonly authorityFile: string;
  readonly authority: string;
  /** For servers under the given names. */
  readonly server: Pair;
  /** For a client that signs in with a certificate. */
  readonly client: Pair;
  close(): Promise<void>;
}

/** Why none can be made here; undefined when they can. */
export function certificatesMissing(): string | undefined {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'the TLS tests need openssl on PATH';
  }
}

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Makes an authority of one day, a server's certificate for `names`, and a client's. */
export async function makeCertificates(names: readonly string[]): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'wan-video-tls-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => void execFileSync('openssl', args, { stdio: 'ignore' });
  openssl(
    ...[
      'req',
      '-x509',
      ...EC,
      '-keyout',
      at('ca.key'),
      '-out',
      at('ca.pem'),
      '-days',
      '1',
      '-subj',
      '/CN=Test Authority',
    ],
    ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  );
  const pair = async (name: string, extensions: string): Promise<Pair> => {
    await writeFile(at(`${name}.ext`), `basicConstraints=CA:FALSE\n${extensions}\n`);
    openssl('req', ...EC, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', `/CN=${name}`);
    openssl(
      ...['x509', '-req', '-in', at(`${name}.csr`), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'],
      ...['-days', '1', '-extfile', at(`${name}.ext`), '-out', at(`${name}.pem`)],
    );
    const [certFile, keyFile] = [at(`${name}.pem`), at(`${name}.key`)];
    return { certFile, keyFile, cert: await readFile(certFile, 'utf8'), key: await readFile(keyFile, 'utf8') };
  };
  const alternatives = names.map((name) => `DNS:${name}`).join(',');
  const server = await pair('server', `extendedKeyUsage=serverAuth\nsubjectAltName=${alternatives},IP:127.0.0.1`);
  const client = await pair('client', 'extendedKeyUsage=clientAuth');
  return {
    server,
    client,
    authorityFile: at('ca.pem'),
    authority: await readFile(at('ca.pem'), 'utf8'),
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
