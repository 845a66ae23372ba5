import { imageDimensions, type Upload } from './upload-store.js';
import { ApiError, isObject, type Json, present } from './wire.js';

/** A submit that was understood, with what is wrong in its fields. */
export interface SubmitBody {
  model: string;
  /** As received. */
  input: Json;
  /** As received; empty when it was absent. */
  parameters: Json;
  /** Size of the first frame when it is known. */
  image: { width: number; height: number } | undefined;
  /** What the service says about the fields, at submit or as the task's failure. */
  wrong: ApiError | undefined;
}

/** What the check needs to know besides the body. */
export interface SubmitRules {
  models: readonly string[];
  unknownParameters: 'ignore' | 'refuse';
  /** Whether `X-DashScope-OssResourceResolve: enable` was sent. */
  resolvesOss: boolean;
  /** The upload behind a key, when this account made it and it has not expired. */
  upload(key: string): Upload | undefined;
}

/** Documented limits of the first frame for models 2.5 and 2.6. */
const MAX_IMAGE_BYTES = 20 * 1024 * 1024;
const MIN_SIDE = 240;
const MAX_SIDE = 8000;

const PARAMETERS = new Set(['resolution', 'duration', 'prompt_extend', 'shot_type', 'audio', 'watermark', 'seed']);

/** @throws ApiError for what the service refuses at once, whatever it does about fields. */
export function readSubmit(body: Json, rules: SubmitRules): SubmitBody {
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
  const errors = fieldErrors(present(input), present(parameters), rules.unknownParameters);
  if (errors.length > 0) return { model, input, parameters, image: undefined, wrong: invalid(errors.join(' & ')) };
  const found = firstFrame(String(input['img_url']), model, rules);
  return found instanceof ApiError
    ? { model, input, parameters, image: undefined, wrong: found }
    : { model, input, parameters, image: found, wrong: undefined };
}

/** Everything wrong with the fields, in the provider's words; the image itself is checked elsewhere. */
function fieldErrors(input: Json, parameters: Json, unknownParameters: 'ignore' | 'refuse'): string[] {
  const errors: string[] = [];
  const say = (name: string, message: string): void => void errors.push(`${message}: ${name}`);
  const { img_url } = input;
  const { resolution, shot_type } = parameters;
  if (img_url === undefined || img_url === '') say('input.img_url', 'Field required');
  for (const name of ['img_url', 'prompt', 'negative_prompt', 'audio_url', 'template']) {
    if (input[name] !== undefined && typeof input[name] !== 'string') {
      say(`input.${name}`, 'Input should be a valid string');
    }
  }
  if (resolution !== undefined && resolution !== '720P' && resolution !== '1080P') {
    say('parameters.resolution', "Input should be '1080P' or '720P'");
  }
  const between = (name: string, low: number, high: number): void => {
    const value = parameters[name];
    if (value === undefined) return;
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      say(`parameters.${name}`, 'Input should be a valid integer');
    } else if (value < low) say(`parameters.${name}`, `Input should be greater than or equal to ${low}`);
    else if (value > high) say(`parameters.${name}`, `Input should be less than or equal to ${high}`);
  };
  between('duration', 2, 15);
  between('seed', 0, 2_147_483_647);
  for (const name of ['prompt_extend', 'audio', 'watermark']) {
    const value = parameters[name];
    if (value !== undefined && typeof value !== 'boolean') say(`parameters.${name}`, 'Input should be a valid boolean');
  }
  if (shot_type !== undefined && shot_type !== 'single' && shot_type !== 'multi') {
    say('parameters.shot_type', "Input should be 'single' or 'multi'");
  }
  if (unknownParameters === 'refuse') {
    for (const name of Object.keys(parameters)) {
      if (!PARAMETERS.has(name)) say(`parameters.${name}`, 'Extra inputs are not permitted');
    }
  }
  return errors;
}

/** Size of the first frame when known, or what the provider would say about the reference. */
function firstFrame(
  url: string,
  model: string,
  { upload }: SubmitRules,
): { width: number; height: number } | undefined | ApiError {
  let image: { width: number; height: number } | null;
  let bytes: number;
  if (/^https?:\/\//i.test(url)) return undefined;
  if (url.startsWith('oss://')) {
    const found = upload(url.slice('oss://'.length));
    if (found?.model !== model) {
      return invalid('The provided URL does not appear to be valid. Ensure it is correctly formatted.');
    }
    ({ image, bytes } = found);
  } else {
    const data = /^data:image\/(?:jpeg|jpg|png|bmp|webp);base64,/i.exec(url)?.[0];
    if (data === undefined) return invalid('url error, please check url!');
    const decoded = Buffer.from(url.slice(data.length), 'base64');
    image = imageDimensions(decoded);
    bytes = decoded.length;
  }
  if (image === null) return invalid('The image format is not supported or the image is damaged.');
  if (bytes > MAX_IMAGE_BYTES) return invalid('the size of input image is too large, at most 20 MB');
  if (Math.min(image.width, image.height) < MIN_SIDE || Math.max(image.width, image.height) > MAX_SIDE) {
    return invalid('the size of input image is too small or too large');
  }
  return image;
}

function invalid(message: string): ApiError {
  return new ApiError(400, 'InvalidParameter', message);
}
