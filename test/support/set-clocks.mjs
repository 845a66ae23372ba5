// Loaded with --import into a process under test: its clocks are not those of the machine. TEST_CLOCKS is JSON:
// {"startMs"} is how far its wall clock is ahead from the start, {"laterMs"} how far from SIGHUP on; at SIGHUP its
// monotonic clock goes forward by {"pauseMs"}, each time, as on a machine that was paused.
const { startMs = 0, laterMs = startMs, pauseMs = 0 } = JSON.parse(process.env.TEST_CLOCKS ?? '{}');
let aheadMs = startMs;
let pausedMs = 0;
const trueNow = Date.now.bind(Date);
const trueMonotonic = performance.now.bind(performance);
const now = () => trueNow() + aheadMs;

globalThis.Date = new Proxy(Date, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  get: (target, name) => (name === 'now' ? now : target[name]),
});
performance.now = () => trueMonotonic() + pausedMs;
process.on('SIGHUP', () => {
  aheadMs = laterMs;
  pausedMs += pauseMs;
});
