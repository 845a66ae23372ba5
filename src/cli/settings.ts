import type { EstimateAccount } from '../client/batch-estimate.js';
import { loadPayloadCodec } from '../client/payload-codec.js';
import { addressOf, type TemporalTarget, temporalFromEnv } from '../client/temporal-target.js';
import { type Config, loadConfig, payloadCodecOf } from '../config/config.js';
import { resolveApiKey, type Secret } from '../config/credentials.js';
import { type Prices, readPrices } from '../config/prices.js';
import type { BudgetTerms } from '../contract/budget.js';
import { Ledger } from '../ledger/ledger.js';
import type { AssetStore } from '../storage/asset-store.js';
import { openStore } from '../storage/open-store.js';
import { checkSharedFileStore } from '../storage/shared-file-store.js';
import { readWebhook, type WebhookReceiverSettings } from '../webhook/webhook-file.js';
import { readNamedFiles } from '../worker/config-files.js';
import type { CommandIo } from './io.js';

/** Settings of one command, from its environment. Each part is loaded when it is first used, and only once. */
export class Settings {
  readonly #io: Pick<CommandIo, 'env' | 'cwd' | 'homeDir'>;
  #config: Config | undefined;
  #target: Promise<TemporalTarget> | undefined;
  #store: AssetStore | undefined;
  #pricesAndBudgets: Promise<PricesAndBudgets> | undefined;

  constructor(io: Pick<CommandIo, 'env' | 'cwd' | 'homeDir'>) {
    this.#io = io;
  }

  /** @throws VideoError `ConfigurationInvalid` with every fault of the environment. */
  config(): Config {
    this.#config ??= loadConfig(this.#io.env, this.#io);
    return this.#config;
  }

  /** The configured asset store. */
  store(): AssetStore {
    this.#store ??= openStore(this.config().store, this.config());
    return this.#store;
  }

  /**
   * The configured asset store for an image that a run will read.
   * @throws VideoError `ConfigurationInvalid` for a local store when Temporal is on another machine: its workers may
   * not find the image.
   */
  async stagingStore(): Promise<AssetStore> {
    const { store, sharedFileStore } = this.config();
    checkSharedFileStore({ store: store.kind, temporalAddress: addressOf(await this.target()), sharedFileStore });
    return this.store();
  }

  /** The ledger of the configured provider and account, in the configured store. */
  ledger(): Ledger {
    const { providerId: provider, account } = this.config().provider;
    return new Ledger({ store: this.store(), scope: { provider, account }, now: Date.now });
  }

  /**
   * The configured prices; undefined when there are none.
   * @throws VideoError `ConfigurationInvalid` with every fault of the file.
   */
  async prices(): Promise<Prices | undefined> {
    const { pricesFile } = this.config();
    return pricesFile === undefined ? undefined : readPrices(pricesFile);
  }

  /**
   * The configured prices and budgets; undefined where there are none.
   * @throws VideoError `ConfigurationInvalid` with every fault of both files at once, and for budgets without prices.
   */
  pricesAndBudgets(): Promise<PricesAndBudgets> {
    this.#pricesAndBudgets ??= readNamedFiles({ ...this.config(), webhookFile: undefined });
    return this.#pricesAndBudgets;
  }

  /** The ledger, slots, render times and prices that an estimate is based on. */
  async estimateAccount(): Promise<EstimateAccount> {
    const { provider, rates } = this.config();
    const { providerId, account } = provider;
    const { prices, budgets } = await this.pricesAndBudgets();
    return { provider: providerId, account, maxRunning: rates.maxRunning, prices, budgets };
  }

  /**
   * The configured receivers of the webhook, by name; undefined when there are none.
   * @throws VideoError `ConfigurationInvalid` with every fault of its file.
   */
  async webhook(): Promise<WebhookReceiverSettings | undefined> {
    const { webhookFile } = this.config();
    return webhookFile === undefined ? undefined : readWebhook(webhookFile);
  }

  /**
   * The provider's key. It is read at each call, because a key may be replaced while a worker runs.
   * @throws VideoError `CredentialsMissing`, naming every place that was searched.
   */
  apiKey(): Promise<Secret> {
    return resolveApiKey(this.#io.env, this.#io);
  }

  /**
   * Where Temporal is, and how its payloads are encoded; nothing is sent. Only the variables of Temporal are read, so
   * that a fault of another variable does not stop a command that needs nothing else.
   * @throws VideoError `ConfigurationInvalid` for an environment, a profile or a payload codec that cannot be used.
   */
  target(): Promise<TemporalTarget> {
    this.#target ??= this.#loadTarget();
    return this.#target;
  }

  /** The same, read again: credentials may be renewed while a worker runs. */
  async readTarget(): Promise<TemporalTarget> {
    return this.#loadTarget();
  }

  async #loadTarget(): Promise<TemporalTarget> {
    const target = temporalFromEnv(this.#io.env);
    const codec = payloadCodecOf(this.#io.env);
    return codec === undefined ? target : { ...target, payloadCodec: await loadPayloadCodec(codec, this.#io.cwd) };
  }
}

interface PricesAndBudgets {
  readonly prices: Prices | undefined;
  readonly budgets: BudgetTerms | undefined;
}
