import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BundleOptions, bundleWorkflowCode } from '@temporalio/worker';

/** Path of the prebuilt workflow code, next to the compiled worker. */
export const BUNDLE_PATH = fileURLToPath(new URL('../../workflow-bundle.js', import.meta.url));

/** The workflow code of a worker with a payload codec; the failure converter is part of it. */
export interface EncryptedBundle {
  readonly bundlePath: string;
  /** Module that puts the texts of failures where the codec reaches them. */
  readonly failureConverterPath: string;
}

/** The code for a payload codec that was built together with the bundle at `bundlePath`. */
export const encryptedBundleOf = (bundlePath: string): EncryptedBundle => ({
  bundlePath: join(dirname(bundlePath), 'workflow-bundle-sealed.js'),
  failureConverterPath: join(dirname(bundlePath), 'src', 'worker', 'encrypted-failure-converter.cjs'),
});

/** Builds the workflow code for Temporal's sandbox into one file, and once more for workers with a payload codec. */
export async function buildBundle(): Promise<void> {
  const sealed = encryptedBundleOf(BUNDLE_PATH);
  await writeFile(BUNDLE_PATH, await bundleCode({}));
  const { failureConverterPath } = sealed;
  await writeFile(sealed.bundlePath, await bundleCode({ failureConverterPath }));
}

/** Bundles the workflow code. @param options - What a worker adds to it: converters, interceptors and plugins. */
export async function bundleCode(options: Omit<BundleOptions, 'workflowsPath' | 'logger'>): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.js', import.meta.url)),
    ...options,
    workflowInterceptorModules: [
      fileURLToPath(new URL('../../workflows/shared/query-guard.js', import.meta.url)),
      ...(options.workflowInterceptorModules ?? []),
    ],
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error } as never,
  });
  return code;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildBundle();
