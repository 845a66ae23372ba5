import type { CreateTaskRequest } from '../dashscope/request-body.js';
import type { SubmitOutcome } from '../dashscope/submit-outcome.js';
import type { TaskPage, TaskSnapshot } from '../dashscope/wire.js';

// What the ledger needs of the provider, by what it may do there. `DashScopeClient` is all of it.

interface KeyHolder {
  /** Identifies the key in use without revealing it. */
  keyFingerprint(): Promise<string>;
}

/** Buys. */
export interface SubmitApi extends KeyHolder {
  createTask(
    body: CreateTaskRequest,
    options: { readonly ossResolve?: boolean | undefined; readonly mayStillSend?: (() => boolean) | undefined },
  ): Promise<SubmitOutcome>;
}

/** Reads single tasks. */
export interface QueryApi extends KeyHolder {
  queryTask(taskId: string, options: { readonly signal?: AbortSignal | undefined }): Promise<TaskSnapshot>;
}

/** Reads the account's task list. */
export interface ListApi {
  listTasks(query: {
    readonly modelName: string;
    readonly pageNo: number;
    readonly pageSize: number;
    readonly signal?: AbortSignal | undefined;
  }): Promise<TaskPage>;
}
