/** Formats moments in a time zone as `2026-03-31 02:30`, which is the Swedish format. */
export function timeFormat(timezone: string): (time: Date) => string {
  const format = new Intl.DateTimeFormat('sv-SE', { dateStyle: 'short', timeStyle: 'short', timeZone: timezone });
  return (time) => format.format(time);
}
