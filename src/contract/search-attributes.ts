type Labels = Readonly<Record<string, string>> | undefined;

/** The labels as values of the search attribute `VideoLabels`: each as `name=value`. */
export const labelTexts = (labels: Labels): string[] =>
  Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`);

/**
 * The search attributes that identify the caller; a request without tenant and labels has none.
 * @param labelsHidden - Whether a codec encodes payloads: none reaches a search attribute, and labels are the caller's
 * texts.
 */
export function callerAttributes(
  { tenant, labels }: { readonly tenant?: string | null | undefined; readonly labels?: Labels },
  labelsHidden: boolean,
): Record<string, string[]> {
  const texts = labelsHidden ? [] : labelTexts(labels);
  return {
    ...(tenant != null && { VideoTenant: [tenant] }),
    ...(texts.length > 0 && { VideoLabels: texts }),
  };
}
