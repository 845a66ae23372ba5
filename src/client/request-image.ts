import { FailureType } from '../contract/failure-type.js';
import { PLACEHOLDER_REFERENCE } from '../contract/image-reference.js';
import type { VideoRequest } from '../contract/request.js';
import { invalidRequest, parseRequest, requestIssues, requestMembers } from '../contract/validate.js';
import { VideoError } from '../contract/video-error.js';
import type { AssetStore } from '../storage/asset-store.js';
import { type ImageSource, isReferenceSource, LocalImage } from './reference.js';

/**
 * Parses a request whose image may be on this machine, and stages the image.
 * @throws VideoError as `WanVideoClient.start`.
 */
export async function stageRequest(
  request: unknown,
  store: AssetStore | undefined,
  signal: AbortSignal | undefined,
): Promise<VideoRequest> {
  const members = requestMembers(request);
  const { reference_image: source } = members;
  if (isReferenceSource(source)) return parseRequest({ ...members, reference_image: String(source) });
  if (!isImageSource(source)) return parseRequest(members);
  if (store === undefined) {
    throw new VideoError(FailureType.ConfigurationInvalid, 'An image of this machine needs the asset store', {
      nextStep:
        'Give WanVideoClient the `store` of the workers (`openStore`), set ASSET_STORE for `fromEnv`, or give the ' +
        'image as an http(s) URL.',
    });
  }
  const image = await LocalImage.read(source, { signal });
  try {
    const issues = [
      ...requestIssues({ ...members, reference_image: PLACEHOLDER_REFERENCE }),
      ...image.issuesFor(members['reference_fit']),
    ];
    if (issues.length > 0) throw invalidRequest(issues);
    return parseRequest({ ...members, reference_image: await image.stage(store, { signal }) });
  } finally {
    await image.dispose();
  }
}

/** Anything else, such as a number, is the request's fault. */
const isImageSource = (source: unknown): source is ImageSource =>
  typeof source === 'string' ||
  (typeof source === 'object' &&
    source !== null &&
    (source instanceof URL ||
      source instanceof Uint8Array ||
      source instanceof Blob ||
      Symbol.asyncIterator in source));
