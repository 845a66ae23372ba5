import { type Client, isGrpcServiceError } from '@temporalio/client';
import proto from '@temporalio/proto';
import { FailureType } from '../contract/failure-type.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import { VideoError } from '../contract/video-error.js';

const types = proto.temporal.api.enums.v1.IndexedValueType;
const WANTED = Object.entries(SEARCH_ATTRIBUTES).map(
  ([name, type]) => [name, types[`INDEXED_VALUE_TYPE_${type}`]] as const,
);
/** gRPC status codes of a server that does not let us register: Temporal Cloud, or one with authorization. */
const REFUSED: readonly number[] = [7 /* PERMISSION_DENIED */, 12 /* UNIMPLEMENTED */, 16 /* UNAUTHENTICATED */];

/**
 * Registers our search attributes in the client's namespace; repeating it changes nothing.
 * @returns the names that were missing.
 * @throws VideoError `ConfigurationInvalid` when one exists with another type, when the server has no room for them, or
 * when it does not let us register: then `nextStep` has the lines for its administrator. Runs work without them.
 * @example
 * ```ts
 * const client = await connectClient(temporalFromEnv());
 * console.log('registered', await registerSearchAttributes(client));
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
    const full = /cannot have more than/i.test(cause.details);
    if (!full && !REFUSED.includes(cause.code)) throw cause;
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      full
        ? `The namespace ${namespace} has no room for our search attributes: ${cause.details}`
        : `The search attributes may not be registered in the namespace ${namespace} by this caller`,
      { cause, nextStep: full ? 'Remove unused ones, or run without them.' : administratorLines(namespace) },
    );
  }
}

/**
 * Names those of our search attributes that the client's namespace lacks.
 * @throws VideoError `ConfigurationInvalid` when one exists with another type.
 */
export async function missingSearchAttributes(client: Client): Promise<string[]> {
  const { namespace } = client.options;
  const have = (await client.connection.operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};
  const clash = WANTED.filter(([name, type]) => have[name] !== undefined && have[name] !== type);
  if (clash.length > 0) throw clashing(clash.map(([name]) => name));
  return WANTED.map(([name]) => name).filter((name) => have[name] === undefined);
}

const clashing = (names: readonly string[]): VideoError =>
  new VideoError(FailureType.ConfigurationInvalid, `Search attributes exist with another type: ${names.join(', ')}`, {
    nextStep: 'Remove them, or use a namespace of its own (TEMPORAL_NAMESPACE). Runs work without them.',
  });

/** What an administrator types, for a server of one's own and for Temporal Cloud. */
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
