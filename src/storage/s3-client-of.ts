import type { S3ClientConfig } from '@aws-sdk/client-s3';

/** Reads what an environment says of S3; the AWS SDK looks for the rest itself. */
export function s3ClientOf(env: Readonly<Record<string, string | undefined>>): S3ClientConfig {
  const read = (...names: readonly string[]) => names.map((name) => env[name]?.trim()).find((value) => value);
  const region = read('AWS_REGION', 'AWS_DEFAULT_REGION');
  const endpoint = read('AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL');
  const accessKeyId = read('AWS_ACCESS_KEY_ID');
  const secretAccessKey = read('AWS_SECRET_ACCESS_KEY');
  const sessionToken = read('AWS_SESSION_TOKEN');
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(accessKeyId !== undefined &&
      secretAccessKey !== undefined && {
        credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
      }),
  };
}
