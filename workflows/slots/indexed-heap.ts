/** A binary heap whose items can be removed, and moved after their rank has changed, in logarithmic time. */
export class IndexedHeap<Item> {
  readonly #items: Item[] = [];
  readonly #places = new Map<Item, number>();
  readonly #isBefore: (a: Item, b: Item) => boolean;

  /** @param isBefore - A total order: it decides between any two items. */
  constructor(isBefore: (a: Item, b: Item) => boolean) {
    this.#isBefore = isBefore;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  /** Adds an item, or moves one whose rank has changed. */
  set(item: Item): void {
    let at = this.#places.get(item);
    if (at === undefined) {
      at = this.#items.length;
      this.#items.push(item);
      this.#places.set(item, at);
    }
    this.#sink(this.#rise(at));
  }

  delete(item: Item): void {
    const at = this.#places.get(item);
    if (at === undefined) return;
    this.#places.delete(item);
    const last = this.#items.pop() as Item;
    if (last === item) return;
    this.#put(last, at);
    this.#sink(this.#rise(at));
  }

  /**
   * The result of the first item, by rank, that has one. Costs a removal for each item before it.
   */
  find<Result>(resultOf: (item: Item) => Result | undefined): Result | undefined {
    const passed: Item[] = [];
    let result: Result | undefined;
    for (let item = this.first; item !== undefined; item = this.first) {
      result = resultOf(item);
      if (result !== undefined) break;
      passed.push(item);
      this.delete(item);
    }
    for (const item of passed) this.set(item);
    return result;
  }

  #rise(from: number): number {
    let at = from;
    const item = this.#items[at] as Item;
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = this.#items[parentAt] as Item;
      if (!this.#isBefore(item, parent)) break;
      this.#put(parent, at);
      at = parentAt;
    }
    this.#put(item, at);
    return at;
  }

  #sink(from: number): void {
    let at = from;
    const item = this.#items[at] as Item;
    for (;;) {
      let childAt = 2 * at + 1;
      if (childAt >= this.#items.length) break;
      const [left, right] = [this.#items[childAt] as Item, this.#items[childAt + 1]];
      if (right !== undefined && this.#isBefore(right, left)) childAt += 1;
      const child = this.#items[childAt] as Item;
      if (!this.#isBefore(child, item)) break;
      this.#put(child, at);
      at = childAt;
    }
    this.#put(item, at);
  }

  #put(item: Item, at: number): void {
    this.#items[at] = item;
    this.#places.set(item, at);
  }
}
