// Lists the words that are not written here, as file:line, with what to write instead:
//   node scripts/words.mjs [--count] [path …]      (no path: the whole tree; --count: hits per folder)
// Exit code 1 when there is a hit. The table is in test/structure/word-rules.ts.
import './require-node.mjs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { outputFiles } = await build({
  entryPoints: [`${ROOT}/test/structure/word-rules.ts`],
  bundle: true,
  platform: 'node',
  format: 'esm',
  write: false,
});
const code = Buffer.from(outputFiles[0].contents).toString('base64');
const { findWords } = await import(`data:text/javascript;base64,${code}`);

const args = process.argv.slice(2);
const paths = args.filter((arg) => arg !== '--count').map((path) => path.replace(/^\.\//, ''));
const hits = findWords(ROOT, paths);
if (args.includes('--count')) {
  const counts = new Map();
  for (const { file } of hits) {
    const folder = file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : file;
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  for (const [folder, count] of [...counts].sort()) console.log(`${String(count).padStart(5)}  ${folder}`);
} else {
  for (const { file, line, found, use, text } of hits) console.log(`${file}:${line}: “${found}” → ${use} | ${text}`);
}
console.log(`${hits.length} hits`);
process.exitCode = hits.length > 0 ? 1 : 0;
