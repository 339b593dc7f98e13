/** What an administrator does by hand beside the provider, by name; the grounds say how (administrator.ts, labAdministrator.ts). */
export const ACTS = [
  "clone", "cloneOverItsDisk", "undefine", "undefineWithDisks", "rename", "detach", "detachAsAnother", "snapshot", "mergeSnapshot",
  "stop", "start", "pause", "makeVolume", "makeDomain", "takeName", "takeKeptDisk", "takeLeftover", "defineTwin",
  "hostDies", "hostReturns", "backUpHost", "restoreHost", "rewriteTemplate", "undo",
] as const;

export type ActName = (typeof ACTS)[number];

/** Puts right what stands in the way of a run, as its message told the administrator to. */
export interface Undo {
  what: string;
  /** It stands in the way of the fleet's end, not of its changes. @default false */
  onlyAtDestroy?: boolean;
  run(): void | Promise<void>;
}
