import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly integrity?: string; readonly optionalDependencies?: object }>
  >;
}

const LOCK = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as Lock;

/**
 * Optional packages of some platform without an entry: `npm ci` refuses such a lock file, `npm install` says nothing.
 */
function missingOptional({ packages }: Lock): string[] {
  return Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies)
      .filter((name) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`])
      .map((name) => `${path} → ${name}`),
  );
}

test('the lock file has an entry for every optional package of every platform', () => {
  expect(missingOptional(LOCK)).toEqual([]);
});

test('an optional package without an entry is caught', () => {
  const packages = { ...LOCK.packages };
  const victim = Object.keys(packages).find((path) => path.startsWith('node_modules/@swc/core-darwin'));
  delete packages[victim!];
  expect(missingOptional({ packages })).toEqual([`node_modules/@swc/core → ${victim!.slice('node_modules/'.length)}`]);
});

test('the lock file names no registry host and pins every package by its hash', () => {
  const entries = Object.entries(LOCK.packages).filter(([path]) => path !== '');
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
  expect(entries.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual([]);
});
