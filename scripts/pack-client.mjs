// Packs the thin client: the published entries that start and follow runs, without the worker's packages.
//   node scripts/pack-client.mjs [FOLDER]     writes wan-video-temporal-client-VERSION.tgz there (default: here)
// It is cut from the build, so that both packages are the same code (docs/decisions/0022-a-thin-client.md). Its files
// are what the entries reach, and its dependencies are what these import.
import './require-node.mjs';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = ['client', 'contract', 'store', 'webhook', 'workflow'];
/** The caller has these, in its own version, and hands their objects to us. */
const PEERS = { '@temporalio/client': '>=1.20.1 <2', '@temporalio/common': '>=1.20.1 <2' };
/** Needed by some callers only: what workflow code imports, and what an S3 store is reached with. */
const main = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const AWS = Object.entries(main.dependencies).filter(([name]) => name.startsWith('@aws-sdk/'));
const OPTIONAL_PEERS = {
  '@temporalio/workflow': '>=1.20.1 <2',
  ...Object.fromEntries(AWS.map(([name, version]) => [name, `^${version}`])),
  ...Object.fromEntries(Object.entries(main.peerDependencies).filter(([name]) => name.startsWith('@opentelemetry/'))),
  '@temporalio/interceptors-opentelemetry': '>=1.20.1 <2',
  // Decodes the images that a caller hands over as a file or bytes, and is as large as all the rest.
  sharp: main.dependencies.sharp,
};
const entries = ENTRIES.filter((name) => existsSync(join(ROOT, 'dist', 'src', name, 'index.js')));

/** Every file of the build that `starts` reach, and the packages that are imported on the way. */
function reach(starts, suffix) {
  const files = new Set(starts);
  const packages = new Set();
  // A Set visits what is added while it is walked, which makes this the transitive closure.
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), 'utf8');
    for (const [, specifier] of text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)['"]([^'"\n]+)['"]/g)) {
      if (specifier.startsWith('.')) {
        files.add(posix.join(posix.dirname(file), specifier).replace(/\.js$/, suffix));
      } else if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) {
        packages.add(specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'));
      }
    }
  }
  return { files, packages };
}

/** Started as a process of its own, and imported by nothing. */
const CHILD = 'dist/src/media/image-child.js';
const code = reach([...entries.map((name) => `dist/src/${name}/index.js`), CHILD], '.js');
const types = reach(
  entries.map((name) => `dist/src/${name}/index.d.ts`),
  '.d.ts',
);
/** One copy with the caller's Temporal, whose types of a Nexus service are its own: 1.20 has 0.0.2. */
const RANGES = { 'nexus-rpc': '>=0.0.2 <0.1' };
const rangeOf = (name) =>
  name.startsWith('@temporalio/') ? PEERS['@temporalio/client'] : (RANGES[name] ?? main.dependencies[name]);
const isPeer = (name) => name in PEERS || name in OPTIONAL_PEERS;
const names = [...new Set([...code.packages, ...types.packages])].filter((name) => !isPeer(name)).sort();
const dependencies = Object.fromEntries(names.map((name) => [name, rangeOf(name)]));
const manifest = {
  name: 'wan-video-temporal-client',
  version: main.version,
  description: `${main.description}: the client alone`,
  license: main.license,
  type: 'module',
  engines: main.engines,
  exports: Object.fromEntries(
    Object.entries(main.exports).filter(
      ([name]) => entries.includes(name.slice(2)) || name === './package.json' || name === './schemas/*',
    ),
  ),
  files: ['dist', 'docs', 'LICENSE', 'CHANGELOG.md'],
  dependencies,
  peerDependencies: { ...PEERS, ...OPTIONAL_PEERS },
  peerDependenciesMeta: Object.fromEntries(Object.keys(OPTIONAL_PEERS).map((name) => [name, { optional: true }])),
};

const folder = mkdtempSync(join(tmpdir(), 'wan-video-client-'));
try {
  const shipped = main.files.filter((path) => path.startsWith('docs') && existsSync(join(ROOT, path)));
  for (const path of [...code.files, ...types.files, ...shipped, 'LICENSE', 'CHANGELOG.md', 'README.md']) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const to = process.argv[2] ?? process.cwd();
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const packed = execFileSync(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', to], {
    cwd: folder,
    encoding: 'utf8',
  });
  process.stdout.write(`${join(to, JSON.parse(packed)[0].filename)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
