import { type Client, isGrpcServiceError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { FailureType } from '../contract/failure-type.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import { VideoError } from '../contract/video-error.js';

const types = proto.temporal.api.enums.v1.IndexedValueType;
const WANTED = Object.entries(SEARCH_ATTRIBUTES).map(
  ([name, type]) => [name, types[`INDEXED_VALUE_TYPE_${type}`]] as const,
);
/** gRPC status codes of a server that refuses a registration: Temporal Cloud, or a server with authorization. */
const REFUSED: readonly number[] = [7 /* PERMISSION_DENIED */, 12 /* UNIMPLEMENTED */, 16 /* UNAUTHENTICATED */];

/**
 * Registers our search attributes in the client's namespace; repeating it changes nothing.
 * @returns the names that were missing.
 * @throws VideoError `ConfigurationInvalid` when one exists with another type, when the server has no room for them, or
 * when it refuses the registration: then `nextStep` holds the commands for its administrator. Runs work without them.
 * @example
 * ```ts
 * const client = await connectClient(temporalFromEnv());
 * const added = await registerSearchAttributes(client);
 * ```
 */
export async function registerSearchAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  const { operatorService } = client.connection;
  try {
    const missing = await missingSearchAttributes(client);
    const searchAttributes = Object.fromEntries(WANTED.filter(([name]) => missing.includes(name)));
    if (missing.length > 0) await operatorService.addSearchAttributes({ namespace, searchAttributes });
    return missing;
  } catch (cause) {
    if (!isGrpcServiceError(cause)) throw cause;
    const isFull = /cannot have more than/i.test(cause.details);
    if (!isFull && !REFUSED.includes(cause.code)) throw cause;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      isFull
        ? `The namespace ${namespace} has no room for our search attributes: ${cause.details}`
        : `This caller may not register search attributes in the namespace ${namespace}`,
      { cause, nextStep: isFull ? 'Remove unused ones, or run without them.' : administratorLines(namespace) },
    );
  }
}

/**
 * Names those of our search attributes that the client's namespace lacks.
 * @throws VideoError `ConfigurationInvalid` when one exists with another type.
 */
export async function missingSearchAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  const existing = (await client.connection.operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};
  const clashes = WANTED.filter(([name, type]) => existing[name] !== undefined && existing[name] !== type);
  if (clashes.length > 0) throw otherType(clashes.map(([name]) => name));
  return WANTED.map(([name]) => name).filter((name) => existing[name] === undefined);
}

const otherType = (names: readonly string[]): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, `Search attributes exist with another type: ${names.join(', ')}`, {
    nextStep: 'Remove them, or use a separate namespace (TEMPORAL_NAMESPACE). Runs work without them.',
  });

/** The commands for an administrator, of a self-hosted server and of Temporal Cloud. */
export function administratorLines(namespace: string): string {
  const named = Object.entries(SEARCH_ATTRIBUTES).map(
    ([name, type]) => [name, type === 'KEYWORD' ? 'Keyword' : 'KeywordList'] as const,
  );
  const own = named.map(([name, type]) => `--name ${name} --type ${type}`).join(' ');
  const cloud = named.map(([name, type]) => `--search-attribute "${name}=${type}"`).join(' ');
  return [
    'Runs work without them; lists by tenant, label, outcome and batch do not. For the administrator:',
    `  temporal operator search-attribute create --namespace ${namespace} ${own}`,
    `  tcld namespace search-attributes add --namespace ${namespace} ${cloud}     (Temporal Cloud)`,
  ].join('\n');
}
