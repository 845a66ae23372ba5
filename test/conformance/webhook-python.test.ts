import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { signatureOf } from '../../src/webhook/signature.js';
import { findPython } from '../support/python.js';
import { ROOT } from '../support/root.js';
import { newSecret } from '../support/webhook-receiver.js';

const python = await findPython('hmac');

test.skipIf(python === undefined)(
  'the receiver in Python takes what we sign, and nothing that was changed',
  async () => {
    const secret = newSecret();
    const child = spawn(python ?? '', [join(ROOT, 'docs', 'examples', 'receive_webhook.py'), '0'], {
      env: { WEBHOOK_SECRET: secret },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill());
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const message = {
      id: 'msg_1',
      timestampSeconds: Math.floor(Date.now() / 1000),
      body: '{"id":"msg_1","type":"webhook.test","data":{"text":"Grüße"}}',
    };
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(message.timestampSeconds),
      'webhook-signature': signatureOf(message, [secret]),
    };
    const post = async (body: string) =>
      (await fetch(`http://127.0.0.1:${line.split(' ').at(-1)}`, { method: 'POST', headers, body })).status;
    expect(await post(message.body)).toBe(204);
    expect(await post(message.body.replace('msg_1', 'msg_2'))).toBe(401);
  },
);
