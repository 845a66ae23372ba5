import { isObject } from './wire.js';

/** A value inside a JSON document: a member of an object or an element of an array. */
export interface Place {
  readonly parent: Record<string, unknown> | unknown[];
  readonly key: string;
}

/** One step of a path: a name, an index, `*` for all, or a condition on the members of an array's elements. */
type Step = { readonly key: string } | { readonly member: string; readonly text: string };

/** Documents are held by an object with this one member, so that a path can lead to the whole document. */
const ROOT_KEY = 'document';

/** Holds a document whose values, and which as a whole, can be replaced. */
export class JsonDocument {
  readonly #holder: Record<string, unknown>;

  constructor(value: unknown) {
    this.#holder = { [ROOT_KEY]: value };
  }

  get value(): unknown {
    return this.#holder[ROOT_KEY];
  }

  /** Whether the document was deleted as a whole. */
  get isAbsent(): boolean {
    return !(ROOT_KEY in this.#holder);
  }

  /**
   * Returns the existing values at a path, the last one first, so that removing one does not move the others.
   * @param path - such as `output.results[0].url`, `data[*].status` or `data[task_id=x]`; empty: the whole document.
   */
  find(path: string): Place[] {
    let places: Place[] = [{ parent: this.#holder, key: ROOT_KEY }];
    for (const step of parsePath(path)) places = places.flatMap((place) => placesBelow(valueAt(place), step));
    return places.reverse();
  }

  /** Sets a value and creates what its path lacks, except for a path with `*` or a condition. */
  set(path: string, value: unknown): void {
    const steps = parsePath(path);
    let parent: Place['parent'] = this.#holder;
    let key = ROOT_KEY;
    for (const step of steps) {
      if (!('key' in step) || step.key === '*') {
        for (const place of this.find(path)) setValue(place, structuredClone(value));
        return;
      }
      let next: unknown = valueAt({ parent, key });
      if (!isContainer(next)) {
        next = /^\d+$/.test(step.key) ? [] : {};
        setValue({ parent, key }, next);
      }
      parent = next as Place['parent'];
      key = step.key;
    }
    setValue({ parent, key }, value);
  }

  /** Returns every value inside those at a path, at any depth. */
  findInside(path: string): Place[] {
    const inside = (place: Place): Place[] =>
      placesBelow(valueAt(place), { key: '*' }).flatMap((each) => [each, ...inside(each)]);
    return this.find(path).flatMap(inside);
  }
}

export function valueAt({ parent, key }: Place): unknown {
  return (parent as Record<string, unknown>)[key];
}

export function setValue({ parent, key }: Place, value: unknown): void {
  (parent as Record<string, unknown>)[key] = value;
}

export function removeValue({ parent, key }: Place): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}

/** Renames a member and keeps its position; an element of an array has no name. */
export function renameMember({ parent, key }: Place, name: string): void {
  if (Array.isArray(parent)) return;
  const members = Object.entries(parent);
  for (const [each] of members) delete parent[each];
  for (const [each, value] of members) parent[each === key ? name : each] = value;
}

/** Whether a text is a path. */
export function isPath(path: string): boolean {
  return path === '' || /^(?:[^.[\]=]+|\[[^[\]]+\])(?:\.[^.[\]=]+|\[[^[\]]+\])*$/.test(path);
}

function parsePath(path: string): Step[] {
  return [...path.matchAll(/\[([^=\]]+)=([^\]]*)\]|\[([^\]]+)\]|([^.[\]]+)/g)].map(
    ([, member, text = '', index, name]) => (member === undefined ? { key: index ?? name ?? '' } : { member, text }),
  );
}

function placesBelow(value: unknown, step: Step): Place[] {
  if (!isContainer(value)) return [];
  const places = Object.keys(value).map((key): Place => ({ parent: value, key }));
  if (!('key' in step)) {
    return places.filter((place) => {
      const element = valueAt(place);
      return isObject(element) && String(element[step.member]) === step.text;
    });
  }
  return step.key === '*' ? places : places.filter(({ key }) => key === step.key);
}

/** Whether a value is a plain object or an array; what {@link Place.parent} holds after a change may be neither. */
function isContainer(value: unknown): value is Place['parent'] {
  return Array.isArray(value) || (isObject(value) && Object.getPrototypeOf(value) === Object.prototype);
}
