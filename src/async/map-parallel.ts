/**
 * Applies `step` to every value of `source`, up to `limit` at a time, and yields the results in the order of the
 * source. It reads ahead no further than that, so that memory stays flat. After a fault the steps under way are
 * awaited, then the fault is thrown.
 */
export async function* mapParallel<T, R>(
  source: Iterable<T> | AsyncIterable<T>,
  limit: number,
  step: (value: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  try {
    for await (const value of source) {
      const next = step(value);
      next.catch(() => undefined); // thrown when its result is due
      underWay.push(next);
      if (underWay.length >= limit) yield await (underWay.shift() as Promise<R>);
    }
    for (let next = underWay.shift(); next !== undefined; next = underWay.shift()) yield await next;
  } finally {
    await Promise.allSettled(underWay);
  }
}
