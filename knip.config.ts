import type { KnipConfig } from 'knip';

const isProduction = process.argv.includes('--production');

/**
 * Dead code. Entries marked with `!` are what the product and its tools begin with, the others belong to tests. Two
 * runs, `npm run dead-code`: over everything an export that nobody else imports is a fault, also when its own file uses
 * it; over the product alone (`--production`) one that the product does not use at all, so that only tests keep it
 * alive.
 */
const config: KnipConfig = {
  entry: [
    'src/{client,contract,store,worker,workflow,webhook,emulator}/index.ts!',
    'src/dev/{demo,temporal-cli}.ts!',
    'src/media/{image,mp4}-child.ts!',
    'src/worker/{build-bundle.ts,encrypted-failure-converter.cts}!',
    'workflows/{index,shared/{query-guard,cancel-details},tracing/trace-interceptors}.ts!',
    '{bench,scripts,docker}/*.mjs!',
    'docs/examples/*.mjs!',
    'test/**/*.test.ts',
    'test/**/*.mjs',
    'test/replay/record-histories.ts',
    'test/{structure/fixtures,fixtures/package}/*.ts',
  ],
  project: ['{src,workflows,activities}/**/*.{ts,cts}!', '{bench,scripts,docker}/*.mjs!', 'test/**/*.{ts,mjs}'],
  // The tools import the build; what they use of it is used.
  compilers: { mjs: (text: string) => text.replaceAll(/(['"])((?:\.\.\/)+)dist\//g, '$1$2') },
  ignoreExportsUsedInFile: isProduction,
  // One is a direct dependency only to pin what others bring (docs/decisions/0004-libraries.md), one is a peer of the
  // PromQL parser, and of one only the path is resolved: `wan-video dev` downloads the Temporal CLI with its help.
  ignoreDependencies: ['@lezer/common', ...(isProduction ? ['protobufjs', '@temporalio/testing'] : [])],
  ignoreBinaries: ['ffmpeg', 'go', 'mount', 'umount', 'sqlite3', 'openssl', 'unshare'],
};

export default config;
