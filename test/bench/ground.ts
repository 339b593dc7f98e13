/** Where a run of the bench takes place. */
import type { InstalledTemplate } from "../lab/image.mjs";
import type { Lab, LabHost } from "../lab/lab.mjs";
import type { PlainCopies } from "./plain";

export interface BenchGround {
  lab: Lab;
  /** On the lab's first host. */
  template: InstalledTemplate;
  /** What one copy moves. */
  imageBytes: number;
  plain: PlainCopies;
  log: (line: string) => void;
  /** False: time is up, begin nothing new. */
  mayGoOn(): boolean;
  /** Puts a picture beside the results. */
  picture(name: string, svg: string): void;
}

/** The template's host, and the first one in another rack (any other, where there is one rack only). */
export function routeOf(hosts: readonly LabHost[]): { from: LabHost; to: LabHost } {
  const [from, ...others] = hosts;
  if (!from || others.length === 0) throw new Error("topology: expected at least two hosts, to copy from one to the other");
  return { from, to: others.find((host) => host.rack !== from.rack) ?? others[0]! };
}
