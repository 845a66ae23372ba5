// Creates the bucket of ASSET_STORE on the S3 server that the AWS_* variables name; repeating it changes nothing.
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';

const Bucket = /^s3:\/\/([^/]+)/.exec(process.env['ASSET_STORE'] ?? '')?.[1];
if (Bucket === undefined) throw new Error('ASSET_STORE must be s3://bucket or s3://bucket/prefix');

// A server inside a compose network has no host name per bucket.
const s3 = new S3Client({ forcePathStyle: true });
try {
  await s3.send(new CreateBucketCommand({ Bucket }));
  console.log(`Created the bucket ${Bucket}.`);
} catch (error) {
  if (error.name !== 'BucketAlreadyOwnedByYou' && error.name !== 'BucketAlreadyExists') throw error;
  await s3.send(new HeadBucketCommand({ Bucket })); // refuses when the bucket is somebody else's
  console.log(`The bucket ${Bucket} is there.`);
}
