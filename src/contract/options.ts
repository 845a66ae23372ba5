import { FailureType } from './failure-type.js';
import { cleanText } from './safe-text.js';
import { type Issue, VideoError } from './video-error.js';

/** What one option must be: in words, and as a check of a value that is given. */
export interface OptionRule {
  readonly must: string;
  readonly isValid: (value: unknown) => boolean;
  readonly isRequired?: boolean;
}

/** Rules of the options of one function, by name. */
export type OptionRules = Readonly<Record<string, OptionRule>>;

/** Rules of every option of a type. */
export type RulesOf<Options> = { readonly [Name in keyof Required<Options>]: OptionRule };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

/** Longest timer of JavaScript, in milliseconds: a longer one would end at once. */
const TIMER_MS_MAX = 2_147_483_647;

export const A_TEXT: OptionRule = {
  must: 'must be text that is not empty',
  isValid: (value) => typeof value === 'string' && value !== '',
};
/** For what is checked elsewhere, with more than its type. */
export const ANYTHING: OptionRule = { must: '', isValid: () => true };
export const A_STRING: OptionRule = { must: 'must be text', isValid: (value) => typeof value === 'string' };
export const A_FLAG: OptionRule = { must: 'must be true or false', isValid: (value) => typeof value === 'boolean' };
export const A_FUNCTION: OptionRule = { must: 'must be a function', isValid: (value) => typeof value === 'function' };
export const AN_OBJECT: OptionRule = {
  must: 'must be an object',
  isValid: (value) => isObject(value) && !Array.isArray(value),
};
export const A_LIST: OptionRule = { must: 'must be a list', isValid: Array.isArray };
export const A_SIGNAL: OptionRule = {
  must: 'must be an AbortSignal',
  isValid: (value) =>
    isObject(value) && typeof value['aborted'] === 'boolean' && typeof value['addEventListener'] === 'function',
};
export const A_TIMEOUT: OptionRule = {
  must: `must be a number of milliseconds above 0 and up to ${TIMER_MS_MAX}`,
  isValid: (value) => typeof value === 'number' && value > 0 && value <= TIMER_MS_MAX,
};
export const AN_ENVIRONMENT: OptionRule = {
  must: 'must be an object of text values, such as process.env',
  isValid: (value) =>
    isObject(value) &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => one === undefined || typeof one === 'string'),
};

/** One of a few words. */
export const oneOf = (...words: readonly string[]): OptionRule => ({
  must: `must be one of ${words.join(', ')}`,
  isValid: (value) => words.includes(value as string),
});

/** An object with the given methods. */
export const withMethods = (kind: string, ...methods: readonly string[]): OptionRule => ({
  must: `must be ${kind}`,
  isValid: (value) => isObject(value) && methods.every((name) => typeof value[name] === 'function'),
});

/** The same rule for an option that must be given. */
export const required = (rule: OptionRule): OptionRule => ({ ...rule, isRequired: true });

/**
 * Checks the options that a function of the published entries is called with, before it does anything: a program
 * without types, or with a wrong name, learns of it here. An option that is undefined counts as absent.
 * @param name - The function, for the message.
 * @throws VideoError `ConfigurationInvalid` with every fault by the option's name.
 */
export function checkOptions(name: string, options: unknown, rules: OptionRules): void {
  const issues = optionIssues(options, rules);
  if (issues.length === 0) return;
  const text = issues.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; ');
  throw new VideoError(FailureType.ConfigurationInvalid, `The options of ${name} are not usable: ${text}`, {
    issues,
    nextStep: `Correct the named options of ${name}; nothing was connected or started.`,
  });
}

function optionIssues(options: unknown, rules: OptionRules): Issue[] {
  if (!isObject(options) || Array.isArray(options)) return [{ path: '', message: 'they must be one object' }];
  const unknown = Object.keys(options)
    .filter((path) => !Object.hasOwn(rules, path))
    .map((path) => ({ path: cleanText(path), message: `is no option; there are ${Object.keys(rules).join(', ')}` }));
  const wrong = Object.entries(rules).flatMap(([path, { must, isValid, isRequired = false }]): Issue[] => {
    const value = options[path];
    if (value === undefined) return isRequired ? [{ path, message: `is missing: it ${must}` }] : [];
    return isValid(value) ? [] : [{ path, message: must }];
  });
  return [...wrong, ...unknown];
}
