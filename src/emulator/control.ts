import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Emulator } from './server.js';
import { faultsOf } from './settings.js';
import type { TaskChange } from './task.js';
import { ApiError, parseObject, textOf } from './wire.js';

/** A task that other software made in an account that we share with it; it counts as no submit. */
export interface ForeignTask {
  prompt?: string | undefined;
  /** `parameters` as in a submit; default: 5 s, 1080P, with sound. */
  parameters?: Record<string, unknown> | undefined;
  /** Default "default". */
  account?: string | undefined;
  /** Default: the first that exists. */
  model?: string | undefined;
  /** How long ago it was submitted, in milliseconds; default 0. */
  age_ms?: number | undefined;
  /** Size in pixels of the first frame, which gives the result its shape. */
  image?: { width: number; height: number } | undefined;
}

const foreignTask = z.strictObject({
  prompt: z.string().optional(),
  parameters: z.record(z.string(), z.unknown()).optional(),
  account: z.string().optional(),
  model: z.string().optional(),
  age_ms: z.number().min(0).optional(),
  image: z.strictObject({ width: z.int().positive(), height: z.int().positive() }).optional(),
});

const taskChange = z.strictObject({
  status: z.enum(['SUCCEEDED', 'FAILED', 'CANCELED']).optional(),
  code: z.string().optional(),
  message: z.string().optional(),
  forgotten: z.boolean().optional(),
});

/** @throws ApiError 400 that names every field that is unknown or wrong. */
export function checkForeignTask(task: unknown): ForeignTask {
  return checked(foreignTask, task, 'task');
}

/** @throws ApiError 400 that names every field that is unknown or wrong. */
export function checkTaskChange(change: unknown): TaskChange {
  return checked(taskChange, change, 'task') as TaskChange;
}

/** The paths under `/_emulator`: the interface {@link Emulator} for other processes. */
export function controlRoutes(app: FastifyInstance, emulator: Emulator): void {
  app.get('/_emulator/health', () => ({ status: 'ok' }));
  app.get('/_emulator/state', () => emulator.state());
  app.get('/_emulator/settings', () => emulator.settings({}));
  app.post('/_emulator/settings', ({ body }) => emulator.settings(parseObject(body)));
  app.get('/_emulator/faults', () => ({ queued: emulator.queuedFaults() }));
  app.post('/_emulator/faults', ({ body }) => {
    const text = textOf(body);
    emulator.faults(text.trimStart().startsWith('[') ? JSON.parse(text) : parseObject(body));
    return { queued: emulator.queuedFaults() };
  });
  app.delete('/_emulator/faults', () => {
    emulator.clearFaults();
    return { queued: [] };
  });
  app.post('/_emulator/tasks', ({ body }) => emulator.addTask(parseObject(body)));
  app.post<{ Params: { id: string } }>('/_emulator/tasks/:id', ({ body, params }) =>
    emulator.changeTask(params.id, parseObject(body)),
  );
  app.post('/_emulator/reset', () => {
    emulator.reset();
    return emulator.state();
  });
}

function checked<T>(schema: z.ZodType<T>, value: unknown, name: string): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new ApiError(400, 'InvalidParameter', `${name}: ${faultsOf(parsed.error)}`);
  return parsed.data;
}
