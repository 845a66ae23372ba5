import { join } from 'node:path';
import { createGenerator } from 'ts-json-schema-generator';
import { batchInputJsonSchema } from '../../src/contract/batch-input.js';
import { requestJsonSchema } from '../../src/contract/request-fields.js';
import { ROOT } from '../support/root.js';

const DRAFT = 'https://json-schema.org/draft/2020-12/schema';

/** What we answer with, by its type: a name of a published file, the module and the type. */
const ANSWERS = {
  result: ['contract/result.ts', 'VideoResult', 'The result of videoGenerate'],
  progress: ['contract/result.ts', 'VideoProgress', 'The answer of the query progress of a generation'],
  failure: ['contract/failure.ts', 'VideoFailure', 'details[0] of a failed run'],
  'batch-progress': ['contract/batch.ts', 'BatchProgress', 'The answer of the query progress of a batch'],
  'batch-report': ['contract/batch.ts', 'BatchSummary', 'The result of videoBatch, and its report.json'],
  'webhook-event': ['contract/webhook.ts', 'WebhookDelivery', 'The body of a delivery of the webhook'],
} as const;

/** Makes every published JSON Schema: of inputs from the tables that check them, of answers from their types. */
export function jsonSchemas(): Map<string, object> {
  const answers = Object.entries(ANSWERS).map(([name, [module, type, title]]) => {
    const generator = createGenerator({
      path: join(ROOT, 'src', module),
      tsconfig: join(ROOT, 'tsconfig.build.json'),
      type,
      // A later version may add fields; readers of today must not refuse them.
      additionalProperties: true,
      skipTypeCheck: true,
      topRef: false,
      expose: 'none',
      jsDoc: 'basic',
    });
    const { $schema: _, ...schema } = generator.createSchema(type);
    return [name, { $schema: DRAFT, title, ...schema }] as const;
  });
  return new Map<string, object>([
    ['request', requestJsonSchema()],
    ['batch-input', batchInputJsonSchema()],
    ...answers,
  ]);
}
