/** A group of a rotation, as far as its tally counts it. */
interface Counted {
  /** Turns that the group has had. */
  readonly turns: number;
  /** Its requests that wait. */
  readonly size: number;
}

/**
 * Counts the groups of a rotation by their turns now, and by those that they will have had once nothing of them waits.
 * There are few different numbers, so questions about all groups do not read the groups.
 */
export class TurnTally {
  readonly #starts = new Map<number, number>();
  readonly #ends = new Map<number, number>();

  add({ turns, size }: Counted): void {
    count(this.#starts, turns, 1);
    count(this.#ends, turns + size, 1);
  }

  remove({ turns, size }: Counted): void {
    count(this.#starts, turns, -1);
    count(this.#ends, turns + size, -1);
  }

  /** The turns of the group that has had the most; 0 without groups. */
  get most(): number {
    let most = 0;
    for (const turns of this.#starts.keys()) most = Math.max(most, turns);
    return most;
  }

  /** How many requests are taken before every group that still has some has had `turns` turns. */
  takenBefore(turns: number): number {
    let taken = 0;
    for (const [start, groups] of this.#starts) taken += groups * Math.max(0, turns - start);
    for (const [end, groups] of this.#ends) taken -= groups * Math.max(0, turns - end);
    return taken;
  }
}

function count(counts: Map<number, number>, key: number, by: number): void {
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
