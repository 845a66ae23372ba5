import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Builds that break what buying once rests on: exact replacements in a copy of the compiled code, so that the product
 * has no switch for it. What `npm run chaos -- --broken X` must catch.
 */
export const BROKEN = {
  'retry-on-502': {
    says: 'a submit that a gateway answered with 502 is sent again',
    shows: 'duplicates',
    file: 'src/dashscope/submit-outcome.js',
    replacements: [['    if (!bodyPulled) {', '    if (!bodyPulled || answer?.status === 502) {']],
  },
  'skip-intent': {
    says: 'the POST goes out before the ledger has its announcement',
    shows: 'duplicates',
    file: 'src/ledger/buy.js',
    replacements: [
      ['    const outcome = await provider.createTask(body, { ossResolve: order.ossResolve, mayStillSend });\n', ''],
      [
        '    const { won, record: intent } = await ledger.openIntent(',
        '    const outcome = await provider.createTask(body, { ossResolve: order.ossResolve });\n    const { won, record: intent } = await ledger.openIntent(',
      ],
    ],
  },
  'no-reservations': {
    says: 'a grant looks at what is spent only, not at what is reserved',
    shows: 'overspent',
    file: 'workflow-bundle.js',
    replacements: [
      [
        "else if (room === 'fits' && spent + price + this.#reservedIn(scope, name) > limit)",
        "else if (room === 'fits' && spent + price > limit)",
      ],
    ],
  },
  'refuse-early': {
    says: 'a budget counts as reached when what is reserved fills it, although it may come to less',
    shows: 'wronglyRefused',
    file: 'workflow-bundle.js',
    replacements: [
      ['else if (spent + price > limit)', 'else if (spent + price + this.#reservedIn(scope, name) > limit)'],
    ],
  },
};

/**
 * Copies the build, so that a rebuild meanwhile changes nothing, and breaks the copy as asked.
 * @throws when a text to be replaced is not there exactly once: the breakage would be none.
 */
export async function copyBuild(name) {
  // Inside the repository, where the copy finds the packages.
  const home = join(ROOT, '.wan-video', `chaos-${process.pid}`);
  const dist = join(home, 'dist');
  await mkdir(home, { recursive: true });
  await cp(join(ROOT, 'package.json'), join(home, 'package.json'));
  await cp(join(ROOT, 'dist'), dist, { recursive: true });
  const remove = () => rm(home, { recursive: true, force: true });
  try {
    if (name !== undefined) await breakBuild(dist, BROKEN[name]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { dist, remove };
}

async function breakBuild(dist, { file, replacements }) {
  const path = join(dist, file);
  let code = await readFile(path, 'utf8');
  for (const [from, to] of replacements) {
    const found = code.split(from).length - 1;
    if (found !== 1) throw new Error(`${file} has ${found} times, instead of once: ${from.trim()}`);
    code = code.replace(from, () => to);
  }
  await writeFile(path, code);
}
