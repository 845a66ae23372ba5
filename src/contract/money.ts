/** An amount of money. */
export interface Money {
  readonly amount: number;
  /** ISO 4217, such as `CNY`. */
  readonly currency: string;
}
