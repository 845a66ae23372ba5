/** Where the Web UI's details lead; what has no address there is shown as text. */
export interface WebLinks {
  /** Address under which the store's objects are read, without a slash at its end: `ASSET_PUBLIC_BASE_URL`. */
  readonly assets?: string;
  /** Address of the runbook, `docs/operations.md`, where it is published: `WAN_VIDEO_RUNBOOK_URL`. */
  readonly runbook?: string;
  /** Address of the run's reference image. */
  readonly reference?: string;
}
