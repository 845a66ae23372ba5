import type { DataConverter } from '@temporalio/common';
import type { BundleOptions, WorkflowBundleOption } from '@temporalio/worker';
import { codecsOf, type TemporalTarget } from '../client/temporal-target.js';
import { BUNDLE_PATH, bundleCode, encryptedBundleOf } from './build-bundle.js';
import { passUndecodable } from './undecodable-payloads.js';
import type { WorkerOptions } from './worker-options.js';

/**
 * The SDK stops workflow code after five seconds, which a worker with a tenth of a core exceeds when it replays a long
 * history, again and again; Temporal's own limit for a workflow task remains. Its types do not have the option.
 */
export const ISOLATE_OPTIONS = { isolateExecutionTimeout: '60s' };

/** Modules of interceptors, and how the bundler finds what they import. */
export type AddedCode = Pick<BundleOptions, 'workflowInterceptorModules' | 'webpackConfigHook'>;

/** What a worker runs workflows with. */
interface WorkflowCode {
  readonly workflowBundle: WorkflowBundleOption;
  readonly dataConverter?: DataConverter;
}

/**
 * The workflow code and the data converter of a worker. The prebuilt code serves plain payloads and codecs; converters,
 * plugins and interceptors are part of the code, so it is bundled with them at the start.
 * @param ours - What is bundled in addition to the caller's, outside of it.
 */
export async function workflowCodeOf(
  temporal: TemporalTarget,
  { bundlePath = BUNDLE_PATH, plugins = [], interceptors = {} }: WorkerOptions,
  ours: AddedCode = {},
): Promise<WorkflowCode> {
  const { payloadConverterPath, failureConverterPath } = temporal.dataConverter ?? {};
  const codecs = codecsOf(temporal);
  const sealed = encryptedBundleOf(bundlePath);
  // With a codec the texts of failures are encoded, too.
  const failures = failureConverterPath ?? (codecs.length > 0 ? sealed.failureConverterPath : undefined);
  const dataConverter: DataConverter = {
    payloadCodecs: codecs.map(passUndecodable),
    ...(payloadConverterPath !== undefined && { payloadConverterPath }),
    ...(failures !== undefined && { failureConverterPath: failures }),
  };
  const workflowModules = [...(ours.workflowInterceptorModules ?? []), ...(interceptors.workflowModules ?? [])];
  const isPrebuilt =
    payloadConverterPath === undefined &&
    failureConverterPath === undefined &&
    plugins.length === 0 &&
    workflowModules.length === 0;
  return {
    ...((codecs.length > 0 || temporal.dataConverter !== undefined) && { dataConverter }),
    workflowBundle: isPrebuilt
      ? { codePath: codecs.length === 0 ? bundlePath : sealed.bundlePath }
      : {
          code: await bundleCode({
            ...(payloadConverterPath !== undefined && { payloadConverterPath }),
            ...(failures !== undefined && { failureConverterPath: failures }),
            ...ours,
            workflowInterceptorModules: workflowModules,
            plugins: [...plugins],
          }),
        },
  };
}
