// The emulator of a given build as a process of its own: node emulator-process.mjs DIST
// '{"port":…,"stateFile":…,"settings":{…}}'.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [dist, options] = process.argv.slice(2);
const { startEmulator } = await import(pathToFileURL(join(dist, 'src', 'emulator', 'index.js')).href);
await startEmulator(JSON.parse(options));
process.stdout.write('ready\n');
