import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LedgerPaths } from '../../src/ledger/paths.js';
import { safeName, videoKey } from '../../src/storage/keys.js';
import { isKeySegment, keySegments } from '../../src/storage/store-key.js';

/** Ids as they come, and as nobody should send them. */
const anyId = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.string({ unit: fc.constantFrom('.', '/', '\\', '~', '-', 'a', 'A', '0', ' ', 'é', '😀', '\0'), maxLength: 12 }),
  fc.constantFrom('CON', 'con', 'nul.txt', 'Com1', '..', '.', '', '../..', 'a'.repeat(5_000), '~41', 'A', 'a'),
);

describe('safeName', () => {
  test('every id becomes one plain path segment of bounded length', () => {
    fc.assert(
      fc.property(anyId, (id) => {
        const name = safeName(id);
        expect(isKeySegment(name)).toBe(true);
        expect(name.length).toBeLessThanOrEqual(150);
        expect(name).toBe(name.toLowerCase());
        expect(name).not.toMatch(/^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/);
      }),
      { numRuns: 2_000 },
    );
  });

  test('different ids have different names, also where case is ignored', () => {
    fc.assert(
      fc.property(anyId, anyId, (a, b) => {
        fc.pre(Buffer.compare(Buffer.from(a), Buffer.from(b)) !== 0); // lone surrogates have one encoding
        expect(safeName(a).toLowerCase()).not.toBe(safeName(b).toLowerCase());
      }),
      { numRuns: 5_000 },
    );
  });

  test('the name of a very long id is the name of no other id, itself included', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '0', '-'), minLength: 151, maxLength: 300 }), (id) => {
        const name = safeName(id);
        expect(name).toHaveLength(150);
        expect(safeName(name)).not.toBe(name);
      }),
    );
  });

  test('short alphabets, where collisions would show, have none', () => {
    const alphabet = ['.', '/', '~', 'a', 'A', '2', 'e', '%', '4', '1'];
    const seen = new Map<string, string>();
    const visit = (id: string) => {
      const name = safeName(id).toLowerCase();
      expect(
        seen.get(name),
        `${JSON.stringify(id)} and ${JSON.stringify(seen.get(name))} are both ${name}`,
      ).toBeUndefined();
      seen.set(name, id);
      if (id.length < 4) for (const char of alphabet) visit(id + char);
    };
    visit('');
  });

  test.each([
    ['8c6c9f0e-1a2b-4c3d-8e9f-001122334455', '8c6c9f0e-1a2b-4c3d-8e9f-001122334455'],
    ['Task', '~54ask'],
    ['a/b', 'a~2fb'],
    ['..', '~2e~2e'],
    ['', '~'],
    ['con', '~con'],
    ['nul.mp4', '~nul.mp4'],
  ])('the id %j is written as %j', (id, name) => {
    expect(safeName(id)).toBe(name);
  });

  test('every key made from an id is a valid key', () => {
    fc.assert(
      fc.property(anyId, anyId, (a, b) => {
        const paths = LedgerPaths.of({ provider: a, account: b });
        for (const key of [
          videoKey(a),
          paths.task(a),
          paths.extraTaskClosed({ key: 'f'.repeat(64), n: 1 }, a),
          paths.cachedResult('f'.repeat(64)),
        ]) {
          expect(keySegments(key).join('/')).toBe(key);
        }
      }),
    );
  });
});
