import type { FastifyInstance } from 'fastify';
import type { Emulator } from './emulator.js';
import { bodyText, parseObject } from './wire.js';

/** Adds the paths under `/_emulator`: the interface {@link Emulator} for other processes. */
export function addControlRoutes(app: FastifyInstance, emulator: Emulator): void {
  app.get('/_emulator/health', () => ({ status: 'ok' }));
  app.get('/_emulator/state', () => emulator.state());
  app.get('/_emulator/settings', () => emulator.changeSettings({}));
  app.post('/_emulator/settings', ({ body }) => emulator.changeSettings(parseObject(body)));
  app.get('/_emulator/faults', () => ({ queued: emulator.queuedFaults() }));
  app.post('/_emulator/faults', ({ body }) => {
    const text = bodyText(body);
    emulator.queueFaults(text.trimStart().startsWith('[') ? JSON.parse(text) : parseObject(body));
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
