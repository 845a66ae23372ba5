import { defineSearchAttributeKey, type SearchAttributePair } from '@temporalio/common';
import type { VideoRequest } from '../contract/request.js';
import { labelTexts } from '../contract/search-attributes.js';

/** The search attributes with which a generation is started. */
export function startAttributes({ tenant, labels }: VideoRequest, labelsHidden: boolean): SearchAttributePair[] {
  // At least one, because the server's answer to it shows whether the namespace knows our attributes.
  const pairs: SearchAttributePair[] = [{ key: defineSearchAttributeKey('VideoOutcome', 'KEYWORD'), value: 'running' }];
  if (tenant !== undefined) pairs.push({ key: defineSearchAttributeKey('VideoTenant', 'KEYWORD'), value: tenant });
  // A codec does not encode search attributes, and labels are the caller's texts.
  if (labels !== undefined && !labelsHidden) {
    pairs.push({ key: defineSearchAttributeKey('VideoLabels', 'KEYWORD_LIST'), value: labelTexts(labels) });
  }
  return pairs;
}
