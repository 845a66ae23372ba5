/** Emulators do not fetch http images. */
export const IMAGE = 'https://images.example/first.png';
export const PROMPT = 'A kitten runs over grass';
/** Whose purchases a ledger of the bench holds. */
export const SCOPE = { provider: 'emulator', account: 'default' };

/** Runs every entry of the plan that the parent process sends, all at once, and reports those that failed. */
export function onPlan(run) {
  process.once('message', async (plan) => {
    const failures = [];
    await Promise.all(
      plan.map((entry) =>
        run(entry).catch((error) => {
          failures.push(String(error?.message ?? error));
        }),
      ),
    );
    process.send({ failures });
  });
  process.on('disconnect', () => process.exit(0));
}
