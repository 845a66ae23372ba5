const built = (file: string): string => new URL(`../../dist/src/worker/${file}.js`, import.meta.url).href;
let code: Promise<string> | undefined;

/** The workflow code of a worker that traces, made from the build once per process. */
export function tracedBundle(): Promise<string> {
  code ??= (async () => {
    const { bundleCode } = (await import(built('build-bundle'))) as typeof import('../../src/worker/build-bundle.js');
    const { tracedCode } = (await import(built('traced-code'))) as typeof import('../../src/worker/traced-code.js');
    return bundleCode(tracedCode());
  })();
  return code;
}
