/** How a life went wrong, and what is no fault of anybody's. */
import { FleetRefusedError } from "../../provider/engine";

/** What went wrong, in words, and how far the life had come. */
export class LifeFailed extends Error {
  constructor(readonly findings: readonly string[], readonly at: string, readonly log: readonly string[]) {
    super(`${at}: ${findings.join("; ")}`);
  }
}

/** Refused for want of a word in the program, which the next try has. */
export const asksForConsent = (failure: Error | undefined): boolean => failure instanceof FleetRefusedError &&
  failure.problems.every(({ path }) => path === "allowRecreate" || path.endsWith("onDelete") || path.startsWith("abandonHosts"));

/** What is the same about two failures of lives that differ in their names and numbers. */
export const kindOf = (failure: Error | undefined): string | undefined => failure &&
  (failure instanceof LifeFailed ? failure.findings.join("; ") : failure.message).replace(/\(.*?\)/g, "").replace(/[-\w]*\d[-\w.]*/g, "#").slice(0, 60);
