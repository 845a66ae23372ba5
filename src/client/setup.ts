import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { FailureType } from '../contract/failure-type.js';
import { SEARCH_ATTRIBUTES } from '../contract/names.js';
import { VideoError } from '../contract/video-error.js';

/**
 * Registers our search attributes in the client's namespace; repeating it changes nothing.
 * @returns the names that were missing.
 * @throws VideoError `ConfigurationInvalid` when one exists with another type.
 */
export async function registerSearchAttributes(client: Client): Promise<string[]> {
  const types = proto.temporal.api.enums.v1.IndexedValueType;
  const { namespace } = client.options;
  const { operatorService } = client.connection;
  const have = (await operatorService.listSearchAttributes({ namespace })).customAttributes ?? {};
  const wanted = Object.entries(SEARCH_ATTRIBUTES).map(
    ([name, type]) => [name, types[`INDEXED_VALUE_TYPE_${type}`]] as const,
  );
  const clash = wanted.filter(([name, type]) => have[name] !== undefined && have[name] !== type).map(([name]) => name);
  if (clash.length > 0) {
    throw new VideoError(
      FailureType.ConfigurationInvalid,
      `Search attributes exist with another type: ${clash.join(', ')}`,
    );
  }
  const missing = wanted.filter(([name]) => have[name] === undefined);
  if (missing.length > 0)
    await operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing) });
  return missing.map(([name]) => name);
}
