/**
 * Applies `step` to what comes, up to `atOnce` at a time, and yields the results in the order of the source. Reads ahead by no more
 * than that, so that memory stays flat. After a fault the steps under way are awaited, then the fault is thrown.
 */
export async function* mapParallel<T, R>(
  source: AsyncIterable<T>,
  atOnce: number,
  step: (value: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  try {
    for await (const value of source) {
      const next = step(value);
      next.catch(() => undefined); // told when its turn comes
      underWay.push(next);
      if (underWay.length >= atOnce) yield await (underWay.shift() as Promise<R>);
    }
    for (let next = underWay.shift(); next !== undefined; next = underWay.shift()) yield await next;
  } finally {
    await Promise.allSettled(underWay);
  }
}
