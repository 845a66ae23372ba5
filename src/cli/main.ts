#!/usr/bin/env node
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { connectClient, temporalFromEnv } from '../client/connect.js';
import { registerSearchAttributes } from '../client/setup.js';
import { loadConfig } from '../config/config.js';
import { resolveApiKey } from '../config/credentials.js';
import { embeddedTemporal } from '../dev/stack.js';
import { startEmulator } from '../emulator/index.js';
import { stageImageFile } from '../media/stage-image.js';
import { openStore } from '../storage/open-store.js';
import { runWorker } from '../worker/run-worker.js';
import { ExitCode } from './exit-code.js';
import { generate } from './generate.js';
import { errorObject, errorText, exitCodeOf } from './output.js';

const HELP = `wan-video: durable image-to-video generation (wan2.6-i2v-flash)

  generate --prompt TEXT --image PATH|URL   run one generation and wait for its video
  stage FILE                                put an image into the asset store, print its asset: reference
  worker                                    run a worker until SIGTERM
  dev [--live]                              embedded Temporal, emulator and worker until Ctrl-C
  emulator --port N                         the provider emulator alone
  setup                                     register the search attributes in the configured namespace

generate: --duration 4 --fps 24 --size '1280*720' --seed N --negative-prompt T --motion-strength N --audio
          --cache use|refresh|off --tenant T --label K=V --id ID --request FILE.json --output PATH
          --detach --json --quiet
`;

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const config = () => loadConfig(process.env, { cwd: process.cwd(), homeDir: homedir() });
const apiKey = async () => (await resolveApiKey(process.env, { homeDir: homedir() })).reveal();

const commands: Record<string, (args: string[]) => Promise<number>> = {
  generate,

  async stage(args) {
    const { positionals } = parseArgs({ args, allowPositionals: true });
    if (positionals[0] === undefined) return usage('stage needs a FILE');
    const staged = await stageImageFile(resolve(positionals[0]), openStore(config().store));
    process.stdout.write(`asset:${staged.asset.key}\n`);
    return ExitCode.done;
  },

  async worker() {
    await apiKey(); // no key at all is said at once, not by the first run
    await runWorker({ config: config(), temporal: temporalFromEnv(), apiKey, onReady: () => say('Worker ready.') });
    return ExitCode.done;
  },

  async emulator(args) {
    const { values } = parseArgs({ args, options: { port: { type: 'string' } } });
    const emulator = await startEmulator({ port: Number(values.port ?? 0) });
    say(`Emulator at ${emulator.baseUrl}`);
    await interrupted();
    await emulator.close();
    return ExitCode.done;
  },

  async dev(args) {
    const { values } = parseArgs({ args, options: { live: { type: 'boolean' } } });
    const directory = resolve('.wan-video', 'dev');
    const temporal = await embeddedTemporal(directory, say);
    const emulator = values.live ? undefined : await startEmulator({ stateFile: resolve(directory, 'emulator.json') });
    const env = emulator === undefined ? process.env : { ...process.env, DASHSCOPE_HTTP_BASE_URL: emulator.baseUrl };
    say(`Temporal  ${temporal.address}   (export TEMPORAL_ADDRESS=${temporal.address})\nWeb UI    ${temporal.uiUrl}`);
    if (emulator !== undefined) say(`Emulator  ${emulator.baseUrl}`);
    await runWorker({
      config: loadConfig(env, { cwd: process.cwd(), homeDir: homedir() }),
      temporal: temporal.target,
      apiKey: emulator === undefined ? apiKey : () => 'sk-dev',
      onReady: () => say('Worker ready; Ctrl-C ends it.'),
    });
    await emulator?.close();
    process.kill(temporal.pid);
    return ExitCode.done;
  },

  async setup() {
    const client = await connectClient(temporalFromEnv());
    const added = await registerSearchAttributes(client).finally(() => client.connection.close());
    say(
      added.length === 0 ? 'Nothing to do: the search attributes are registered.' : `Registered ${added.join(', ')}.`,
    );
    return ExitCode.done;
  },
};

function usage(fault: string): number {
  say(`wan-video: ${fault}\n\n${HELP}`);
  return ExitCode.invalid;
}

const interrupted = () =>
  new Promise<void>((done) => process.once('SIGINT', () => done()).once('SIGTERM', () => done()));

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === 'help' || name === '--help' || args.includes('--help')) {
    process.stdout.write(HELP);
    return ExitCode.done;
  }
  const command = commands[name];
  if (command === undefined) return usage(`there is no command ${name}`);
  try {
    return await command(args);
  } catch (error) {
    if (String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS'))
      return usage((error as Error).message);
    if (args.includes('--json')) process.stdout.write(`${JSON.stringify({ error: errorObject(error) })}\n`);
    else say(errorText(error));
    return exitCodeOf(error);
  }
}

process.exit(await main(process.argv.slice(2)));
