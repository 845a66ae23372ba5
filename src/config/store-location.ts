import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StoreLocation } from '../storage/open-store.js';

/** Directories that relative paths and `~/` refer to. */
export interface Directories {
  readonly cwd: string;
  readonly homeDir: string;
}

/** A path of a setting, made absolute. */
export const absolutePath = (path: string, { cwd, homeDir }: Directories): string =>
  path.startsWith('~/') ? join(homeDir, path.slice(2)) : resolve(cwd, path);

/** Reads the address of an asset store; undefined for one that is neither `file:PATH` nor `s3://bucket/prefix`. */
export function readStoreLocation(address: string, where: Directories): StoreLocation | undefined {
  const s3 = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(address);
  if (s3?.[1] !== undefined) return { kind: 's3', bucket: s3[1], prefix: (s3[2] ?? '').replace(/^\/+|\/+$/g, '') };
  if (/^file:(?!\/\/)./.test(address)) {
    return { kind: 'file', path: absolutePath(address.slice('file:'.length), where) };
  }
  if (!/^file:\/\/\//.test(address)) return undefined;
  try {
    return { kind: 'file', path: fileURLToPath(address) };
  } catch {
    return undefined;
  }
}
