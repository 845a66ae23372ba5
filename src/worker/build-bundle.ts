import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

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
  await bundle(BUNDLE_PATH);
  await bundle(sealed.bundlePath, sealed.failureConverterPath);
}

async function bundle(file: string, failureConverterPath?: string): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../workflows/index.js', import.meta.url)),
    workflowInterceptorModules: [fileURLToPath(new URL('../../workflows/shared/query-guard.js', import.meta.url))],
    ...(failureConverterPath !== undefined && { failureConverterPath }),
    logger: { log() {}, trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error } as never,
  });
  await writeFile(file, code);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildBundle();
