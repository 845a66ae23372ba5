import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How the server treats a write that must not replace. */
export type ConditionalWrites =
  /** Ignores `If-None-Match`, as some S3 clones do silently. */
  | 'ignored'
  /** Answers `If-None-Match` with 501 and knows `x-oss-forbid-overwrite`, as Alibaba OSS does. */
  | 'oss'
  /** Answers the first writes with 409 ConditionalRequestConflict before it decides, as Amazon S3 may. */
  | 'conflicts';

export interface FakeS3 {
  readonly endpoint: string;
  readonly objects: ReadonlyMap<string, Uint8Array>;
  /** Method and conditional header of every write, in order. */
  readonly writes: readonly string[];
  /** From now on every request is answered with this error. */
  refuseWith(status: number, code: string): void;
  close(): Promise<void>;
}

/** A small S3 in memory that behaves as no correct one does. Path-style addresses only; checks no signature. */
export async function startFakeS3(conditional: ConditionalWrites): Promise<FakeS3> {
  const objects = new Map<string, Uint8Array>();
  const uploads = new Map<string, Map<number, Uint8Array>>();
  const writes: string[] = [];
  let refusal: { status: number; code: string } | undefined;
  let conflictsLeft = 2;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat((await request.toArray()) as Uint8Array[]);
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
    const key = decodeURIComponent(pathname).split('/').slice(2).join('/');
    const fail = (status: number, code: string) =>
      response.writeHead(status).end(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
    const write = (bytes: Uint8Array) => {
      const standard = request.headers['if-none-match'];
      const oss = request.headers['x-oss-forbid-overwrite'];
      writes.push(`${request.method} ${standard ?? ''}${oss ?? ''}`.trim());
      if (conditional === 'oss' && standard !== undefined) return fail(501, 'NotImplemented');
      if (conditional === 'oss' && oss === 'true' && objects.has(key)) return fail(409, 'FileAlreadyExists');
      if (conditional === 'conflicts' && standard !== undefined) {
        if (conflictsLeft-- > 0) return fail(409, 'ConditionalRequestConflict');
        if (objects.has(key)) return fail(412, 'PreconditionFailed');
      }
      objects.set(key, bytes);
      return response.writeHead(200, { ETag: '"1"' }).end('<CompleteMultipartUploadResult/>');
    };

    if (refusal !== undefined) return void fail(refusal.status, refusal.code);
    const uploadId = searchParams.get('uploadId') ?? '';
    switch (request.method) {
      case 'POST': {
        if (!searchParams.has('uploads')) {
          const parts = [...(uploads.get(uploadId) ?? [])].sort(([a], [b]) => a - b);
          return void write(Buffer.concat(parts.map(([, bytes]) => bytes)));
        }
        const id = randomUUID();
        uploads.set(id, new Map());
        return void response
          .writeHead(200)
          .end(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
      }
      case 'PUT':
        if (uploadId === '') return void write(body);
        uploads.get(uploadId)?.set(Number(searchParams.get('partNumber')), body);
        return void response.writeHead(200, { ETag: '"1"' }).end();
      case 'DELETE':
        if (uploadId === '') objects.delete(key);
        else uploads.delete(uploadId);
        return void response.writeHead(204).end();
      default: {
        if (key === '') {
          const contents = [...objects].map(([k, v]) => `<Contents><Key>${k}</Key><Size>${v.length}</Size></Contents>`);
          return void response.writeHead(200).end(`<ListBucketResult>${contents.join('')}</ListBucketResult>`);
        }
        const found = objects.get(key);
        if (found === undefined) return void fail(404, 'NoSuchKey');
        return void response.writeHead(200, { 'Content-Length': found.length }).end(found);
      }
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => request.socket.destroy()); // the client hung up
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    writes,
    refuseWith(status, code) {
      refusal = { status, code };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
