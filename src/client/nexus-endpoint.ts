import { type Client, isGrpcServiceError } from '@temporalio/client';
import { FailureType } from '../contract/failure-type.js';
import { VideoError } from '../contract/video-error.js';

/** gRPC statuses of a server that makes no endpoints for this caller, such as Temporal Cloud. */
const REFUSED: readonly number[] = [7 /* PERMISSION_DENIED */, 12 /* UNIMPLEMENTED */, 16 /* UNAUTHENTICATED */];
const ALREADY_EXISTS = 6;
/** The server's own rule. */
const NAME = /^[a-zA-Z][a-zA-Z0-9-]{0,198}[a-zA-Z0-9]$/;

/** @throws VideoError `InvalidRequest` for a name that no endpoint can have. */
export function checkEndpointName(name: string): void {
  if (NAME.test(name)) return;
  const message = 'must be 2 to 200 letters, digits and dashes, a letter first and no dash last';
  throw new VideoError(FailureType.InvalidRequest, `The name of a Nexus endpoint ${message}`, {
    issues: [{ path: 'nexus-endpoint', message }],
  });
}

/**
 * Makes the Nexus endpoint by which workflows, also of other namespaces, reach the workers of a queue; repeating it
 * changes nothing.
 * @throws VideoError `ConfigurationInvalid` when one of this name leads elsewhere, or the server refuses to make it.
 */
export async function ensureNexusEndpoint(
  client: Client,
  name: string,
  taskQueue: string,
): Promise<'created' | 'unchanged'> {
  const { namespace } = client.options;
  const { operatorService } = client.connection;
  const find = async () => (await operatorService.listNexusEndpoints({ name, pageSize: 1 })).endpoints?.[0];
  const create = async (): Promise<boolean> => {
    try {
      await operatorService.createNexusEndpoint({ spec: { name, target: { worker: { namespace, taskQueue } } } });
      return true;
    } catch (error) {
      // Another setup has made it in the meantime.
      if (isGrpcServiceError(error) && error.code === ALREADY_EXISTS) return false;
      throw error;
    }
  };
  try {
    if ((await find()) === undefined && (await create())) return 'created';
    const target = (await find())?.spec?.target?.worker;
    if (target?.namespace === namespace && target.taskQueue === taskQueue) return 'unchanged';
  } catch (cause) {
    if (!isGrpcServiceError(cause) || !REFUSED.includes(cause.code)) throw cause;
    throw new VideoError(FailureType.ConfigurationInvalid, 'This caller may not make Nexus endpoints', {
      cause,
      nextStep:
        `For the administrator: temporal operator nexus endpoint create --name ${name} ` +
        `--target-namespace ${namespace} --target-task-queue ${taskQueue}; on Temporal Cloud: ` +
        'tcld nexus endpoint create with the same values.',
    });
  }
  throw new VideoError(FailureType.ConfigurationInvalid, `The Nexus endpoint ${name} leads elsewhere`, {
    nextStep: `Choose another name, or remove it: temporal operator nexus endpoint delete --name ${name}`,
  });
}
