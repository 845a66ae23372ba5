/** An amount of money with two to six decimals: prices per second may be fractions of the smallest coin. */
export const amountText = (amount: number): string => amount.toFixed(6).replace(/0{1,4}$/, '');
