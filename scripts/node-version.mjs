// Which Node.js this project needs. It runs on every Node.js that has ES modules, so that people see the sentence below
// and no syntax error.
import { readFileSync } from 'node:fs';

const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** The oldest Node.js that is supported, such as `22.19.0`. */
export const NEEDED = /\d+\.\d+\.\d+/.exec(engines.node)[0];

/** Whether a version of Node.js, such as `24.21.0`, is new enough. */
export function isSupported(version) {
  const [have, need] = [version, NEEDED].map((text) => text.split('.').map(Number));
  const differing = need.findIndex((part, index) => part !== have[index]);
  return differing < 0 || have[differing] > need[differing];
}

/** What to read on a Node.js that is too old, and how to get another one. */
export const TOO_OLD =
  `Node.js ${NEEDED} or newer is needed, and this is ${process.versions.node}: install a current one, ` +
  'with a version manager ("nvm install 24", "fnm install 24") or from https://nodejs.org.';

/** Ends the process with one sentence when its Node.js is too old. */
export function requireNode() {
  if (isSupported(process.versions.node)) return;
  process.stderr.write(`${TOO_OLD}\n`);
  process.exit(1);
}
