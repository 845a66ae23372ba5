import type { Client } from '@temporalio/client';
import type { TemporalTarget } from '../client/connect.js';
import type { Config } from '../config/config.js';
import type { Prices } from '../config/prices.js';
import type { BudgetTerms } from '../contract/budget.js';
import type { Ledger } from '../ledger/ledger.js';
import type { AssetStore } from '../storage/asset-store.js';
import { ExitCode } from '../text/exit-code.js';
import type { WebhookSettings } from '../webhook/webhook-file.js';
import type { CommandIo } from './io.js';

/** A connected Temporal, as a command uses it. */
export interface ConnectedTemporal {
  readonly client: Client;
  readonly target: TemporalTarget;
}

/** What every command works with. Its heavy parts are imported when they are used, so that `--help` stays fast. */
export class CommandContext {
  readonly io: CommandIo;
  /** Whether `--json` was given. */
  readonly json: boolean;
  exitCode: number = ExitCode.done;

  constructor(io: CommandIo, json: boolean) {
    this.io = io;
    this.json = json;
  }

  /** Makes a command's action out of a function that resolves its exit code. */
  action<A extends unknown[]>(run: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
    return async (...args) => {
      this.exitCode = await run(...args);
    };
  }

  /** Writes the one result of a command to stdout: `value` with `--json`, else `text`. */
  result(value: unknown, text: string): void {
    this.io.stdout.write(this.json ? `${JSON.stringify(value)}\n` : `${text}\n`);
  }

  /** Writes a remark to stderr. */
  say(line: string): void {
    this.io.stderr.write(`${line}\n`);
  }

  /** @throws VideoError `ConfigurationInvalid` with every fault of the environment. */
  async config(): Promise<Config> {
    const { loadConfig } = await import('../config/config.js');
    return loadConfig(this.io.env, this.io);
  }

  /** The configured asset store. */
  async store(): Promise<AssetStore> {
    const { openStore } = await import('../storage/open-store.js');
    const { store, proxies } = await this.config();
    return openStore(store, proxies);
  }

  /**
   * The configured asset store for an image that a run will read.
   * @throws VideoError `ConfigurationInvalid` for a local store beside a Temporal whose workers may be elsewhere: they would not
   * find the image.
   */
  async stagingStore(): Promise<AssetStore> {
    const [{ addressOf, temporalFromEnv }, { checkSharedFileStore }] = await Promise.all([
      import('../client/connect.js'),
      import('../storage/shared-file-store.js'),
    ]);
    const { store, sharedFileStore } = await this.config();
    const temporalAddress = addressOf(temporalFromEnv(this.io.env));
    checkSharedFileStore({ store: store.kind, temporalAddress, sharedFileStore });
    return this.store();
  }

  /** The ledger of the configured provider and account, in the configured store. */
  async ledger(): Promise<Ledger> {
    const { Ledger } = await import('../ledger/ledger.js');
    const { providerId: provider, account } = (await this.config()).provider;
    return new Ledger({ store: await this.store(), scope: { provider, account }, now: Date.now });
  }

  /**
   * The configured prices; undefined when there are none.
   * @throws VideoError `ConfigurationInvalid` with every fault of the file.
   */
  async prices(): Promise<Prices | undefined> {
    const { pricesFile } = await this.config();
    if (pricesFile === undefined) return undefined;
    const { readPrices } = await import('../config/prices.js');
    return readPrices(pricesFile);
  }

  /**
   * The configured prices and budgets; undefined where there are none.
   * @throws VideoError `ConfigurationInvalid` with every fault of both files at once, and for budgets without prices.
   */
  async pricesAndBudgets(): Promise<{
    readonly prices: Prices | undefined;
    readonly budgets: BudgetTerms | undefined;
  }> {
    const { readNamedFiles } = await import('../worker/config-files.js');
    return readNamedFiles({ ...(await this.config()), webhookFile: undefined });
  }

  /**
   * The configured webhook; undefined when there is none.
   * @throws VideoError `ConfigurationInvalid` with every fault of its file.
   */
  async webhook(): Promise<WebhookSettings | undefined> {
    const { webhookFile } = await this.config();
    if (webhookFile === undefined) return undefined;
    const { readWebhook } = await import('../webhook/webhook-file.js');
    return readWebhook(webhookFile);
  }

  /**
   * The provider's key, read anew at each call.
   * @throws VideoError `CredentialsMissing`, naming every place where it was looked for.
   */
  async apiKey(): Promise<string> {
    const { resolveApiKey } = await import('../config/credentials.js');
    return (await resolveApiKey(this.io.env, this.io)).reveal();
  }

  /**
   * Where Temporal is, and how its data are read; nothing is sent.
   * @throws VideoError `ConfigurationInvalid` for an environment, a profile or a payload codec that cannot be used.
   */
  async target(): Promise<TemporalTarget> {
    const [{ temporalFromEnv }, { payloadCodecOf }] = await Promise.all([
      import('../client/connect.js'),
      import('../config/config.js'),
    ]);
    const target = temporalFromEnv(this.io.env);
    const codec = payloadCodecOf(this.io.env);
    if (codec === undefined) return target;
    const { loadPayloadCodec } = await import('../client/payload-codec.js');
    return { ...target, payloadCodec: await loadPayloadCodec(codec, this.io.cwd) };
  }

  /**
   * Connects to the configured Temporal, runs `use`, and closes the connection.
   * @param guard - Put around the attempt to connect, which may take some seconds.
   * @throws VideoError `TemporalUnreachable` when it does not answer, also in the middle of `use`.
   */
  async temporal<T>(
    use: (temporal: ConnectedTemporal) => Promise<T>,
    guard: (connecting: Promise<Client>) => Promise<Client> = (connecting) => connecting,
  ): Promise<T> {
    const { connectClient, isTemporalError, temporalError } = await import('../client/connect.js');
    const target = await this.target();
    const client = await guard(connectClient(target));
    try {
      return await use({ client, target });
    } catch (error) {
      throw isTemporalError(error) ? temporalError(error, target) : error;
    } finally {
      await client.connection.close();
    }
  }
}
