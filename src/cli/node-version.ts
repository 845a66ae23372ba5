/**
 * Checks that this command can run on a Node.js.
 * @param version - Of the running one, such as `24.21.0`.
 * @param engines - The `engines.node` of package.json, such as `>=22.19.0`.
 * @returns what to read on one that is too old, and how to get another; `undefined` for one that is new enough.
 */
export function faultOfNode(version: string, engines: string): string | undefined {
  const needed = /\d+\.\d+\.\d+/.exec(engines)?.[0] ?? '0.0.0';
  const [have = [], need = []] = [version, needed].map((text) => text.split('.').map(Number));
  const differing = need.findIndex((part, index) => part !== have[index]);
  if (differing < 0 || (have[differing] ?? 0) > (need[differing] ?? 0)) return undefined;
  return (
    `wan-video needs Node.js ${needed} or newer, and this is ${version}: install a current one, ` +
    'with a version manager ("nvm install 24", "fnm install 24") or from https://nodejs.org.'
  );
}
