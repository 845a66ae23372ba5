import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonFault } from '../../src/text/json.js';

test.each([
  { text: '', fault: [1, 1, 'a value'] },
  { text: '  \n ', fault: [2, 2, 'a value'] },
  { text: '{', fault: [1, 2, 'a name in quotes or "}"'] },
  { text: '{"a" 1}', fault: [1, 6, '":"'] },
  { text: '{"a": 1,\n "b": 2,,}', fault: [2, 9, 'a name in quotes'] },
  { text: '{"a": 1,}', fault: [1, 9, 'a name in quotes'] },
  { text: '{"a": tru}', fault: [1, 7, 'a value'] },
  { text: "{'a': 1}", fault: [1, 2, 'a name in quotes or "}"'] },
  { text: '{"a": 1}\n// done', fault: [2, 1, 'the end'] },
  { text: '{"a": [1, 2}', fault: [1, 12, '"," or "]"'] },
  { text: '{"a": "line\nbreak"}', fault: [1, 7, 'a value'] },
  { text: '{"a": 01}', fault: [1, 8, '"," or "}"'] },
  { text: '{"a": 1', fault: [1, 8, '"," or "}"'] },
])('the fault of $text is reported by line, column and what could be there', ({ text, fault }) => {
  const [line, column, expected] = fault;
  expect(jsonFault(text)).toEqual({ line, column, expected });
});

test('JSON has no fault, however it is written', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 2, '\t'), (json, indent) => {
      expect(jsonFault(JSON.stringify(JSON.parse(json), null, indent))).toBeUndefined();
    }),
    { numRuns: 200 },
  );
});

test('a text has a fault exactly when it is not JSON', () => {
  const broken = fc
    .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.constantFrom('', ',', '}', ']', '"', ':', '1', 'x', '\\', '\u0001'))
    .map(([json, at, change]) => {
      const place = at % (json.length + 1);
      return `${json.slice(0, place)}${change}${json.slice(place + 1)}`;
    });
  fc.assert(
    fc.property(broken, (text) => {
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      expect(jsonFault(text) === undefined).toBe(isJson);
    }),
    { numRuns: 1_000 },
  );
});
