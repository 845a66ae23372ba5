import { type ImageSize, imageSizeOf } from './image.js';
import type { Upload } from './upload-store.js';
import { ApiError, isObject, type Json } from './wire.js';

/** A submit whose model and input are valid; its fields may be invalid. */
interface SubmitBody {
  model: string;
  /** As received. */
  input: Json;
  /** As received; empty when absent. */
  parameters: Json;
  /** Size of the first frame, if known. */
  image: ImageSize | undefined;
  /** Error for invalid fields, which is answered at the submit or becomes the task's failure. */
  invalid: ApiError | undefined;
}

/** Input of the check in addition to the body. */
interface SubmitRules {
  models: readonly string[];
  unknownParameters: 'ignore' | 'refuse';
  /** Whether `X-DashScope-OssResourceResolve: enable` was sent. */
  resolvesOss: boolean;
  /** Returns the upload of a key if it belongs to the caller's account and has not expired. */
  findUpload(key: string): Upload | undefined;
}

/** Documented limits of the first frame for models 2.5 and 2.6. */
const MAX_IMAGE_BYTES = 20 * 1024 * 1024;
const MIN_SIDE = 240;
const MAX_SIDE = 8000;

const PARAMETERS = new Set(['resolution', 'duration', 'prompt_extend', 'shot_type', 'audio', 'watermark', 'seed']);

/**
 * Reads a submit.
 * @throws ApiError for errors that the service always answers at once: of model, input and the header for uploads.
 */
export async function readSubmit(body: Json, rules: SubmitRules): Promise<SubmitBody> {
  const model = body['model'];
  if (typeof model !== 'string' || model === '') {
    throw new ApiError(400, 'BadRequest.EmptyModel', 'Required parameter "model" missing from request.');
  }
  if (!rules.models.includes(model)) throw new ApiError(404, 'ModelNotFound', 'Model not exist.');
  if (!isObject(body['input'])) {
    throw new ApiError(400, 'BadRequest.EmptyInput', 'Required input parameter missing from request.');
  }
  const input = body['input'];
  const parameters = isObject(body['parameters']) ? body['parameters'] : {};
  if (!rules.resolvesOss && ['img_url', 'audio_url'].some((name) => String(input[name]).startsWith('oss://'))) {
    const message = 'Unable to download the media resource during the data inspection process.';
    throw new ApiError(400, 'InvalidParameter.DataInspection', message);
  }
  const errors = fieldErrors(withoutNulls(input), withoutNulls(parameters), rules.unknownParameters);
  const image =
    errors.length > 0
      ? invalidParameter(errors.join(' & '))
      : await firstFrameSize(String(input['img_url']), model, rules);
  return image instanceof ApiError
    ? { model, input, parameters, image: undefined, invalid: image }
    : { model, input, parameters, image, invalid: undefined };
}

/** Returns all errors of the fields in the provider's words; the image itself is checked separately. */
function fieldErrors(input: Json, parameters: Json, unknownParameters: 'ignore' | 'refuse'): string[] {
  const errors: string[] = [];
  const add = (name: string, message: string): void => void errors.push(`${message}: ${name}`);
  const { img_url } = input;
  const { resolution, shot_type } = parameters;
  if (img_url === undefined || img_url === '') add('input.img_url', 'Field required');
  for (const name of ['img_url', 'prompt', 'negative_prompt', 'audio_url', 'template']) {
    if (input[name] !== undefined && typeof input[name] !== 'string') {
      add(`input.${name}`, 'Input should be a valid string');
    }
  }
  if (resolution !== undefined && resolution !== '720P' && resolution !== '1080P') {
    add('parameters.resolution', "Input should be '1080P' or '720P'");
  }
  const checkInteger = (name: string, min: number, max: number): void => {
    const value = parameters[name];
    if (value === undefined) return;
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      add(`parameters.${name}`, 'Input should be a valid integer');
    } else if (value < min) add(`parameters.${name}`, `Input should be greater than or equal to ${min}`);
    else if (value > max) add(`parameters.${name}`, `Input should be less than or equal to ${max}`);
  };
  checkInteger('duration', 2, 15);
  checkInteger('seed', 0, 2_147_483_647);
  for (const name of ['prompt_extend', 'audio', 'watermark']) {
    const value = parameters[name];
    if (value !== undefined && typeof value !== 'boolean') add(`parameters.${name}`, 'Input should be a valid boolean');
  }
  if (shot_type !== undefined && shot_type !== 'single' && shot_type !== 'multi') {
    add('parameters.shot_type', "Input should be 'single' or 'multi'");
  }
  if (unknownParameters === 'refuse') {
    for (const name of Object.keys(parameters)) {
      if (!PARAMETERS.has(name)) add(`parameters.${name}`, 'Extra inputs are not permitted');
    }
  }
  return errors;
}

/** Returns the size of the first frame if it is known, or the provider's error for it. */
async function firstFrameSize(
  url: string,
  model: string,
  { findUpload }: SubmitRules,
): Promise<ImageSize | undefined | ApiError> {
  let image: ImageSize | null;
  let bytes: number;
  if (/^https?:\/\//i.test(url)) return undefined;
  if (url.startsWith('oss://')) {
    const found = findUpload(url.slice('oss://'.length));
    if (found?.model !== model) {
      return invalidParameter('The provided URL does not appear to be valid. Ensure it is correctly formatted.');
    }
    ({ image, bytes } = found);
  } else {
    const data = /^data:image\/(?:jpeg|jpg|png|bmp|webp);base64,/i.exec(url)?.[0];
    if (data === undefined) return invalidParameter('url error, please check url!');
    const decoded = Buffer.from(url.slice(data.length), 'base64');
    image = await imageSizeOf(decoded);
    bytes = decoded.length;
  }
  if (image === null) return invalidParameter('The image format is not supported or the image is damaged.');
  if (bytes > MAX_IMAGE_BYTES) return invalidParameter('the size of input image is too large, at most 20 MB');
  if (Math.min(image.width, image.height) < MIN_SIDE || Math.max(image.width, image.height) > MAX_SIDE) {
    return invalidParameter('the size of input image is too small or too large');
  }
  return image;
}

function invalidParameter(message: string): ApiError {
  return new ApiError(400, 'InvalidParameter', message);
}

/** Returns the object without its null members: the service treats null as absent. */
function withoutNulls(object: Json): Json {
  return Object.fromEntries(Object.entries(object).filter(([, member]) => member !== null));
}
