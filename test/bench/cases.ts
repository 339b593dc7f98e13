/** What the bench can measure: one file a case; a new one is named here. */
import { copyCase } from "./copyCase";
import type { BenchGround } from "./ground";
import { immediateCase } from "./immediate";
import type { BenchOptions } from "./options";
import { relayLossCase } from "./relayLoss";
import { sparseCase } from "./sparseCase";

export interface BenchCase {
  /**
   * Takes what is missing of `found` up to `options.repeat` measurements, and keeps each by `save` as soon as it is
   * there. @returns what was found and what is new
   */
  measure(ground: BenchGround, options: BenchOptions, found: unknown, save: (measured: unknown) => void): Promise<unknown>;
  /** What the measurements say, as text for people and as data. `faults`: what must not be; the bench fails then. */
  report(measured: unknown, ground: { imageBytes: number }): CaseReport;
}

export interface CaseReport {
  text: string;
  data: unknown;
  faults: string[];
}

export const caseNames = ["copy", "relayLoss", "immediate", "sparse"] as const;
export type CaseName = (typeof caseNames)[number];

export const caseOf = (name: CaseName): BenchCase => ({ copy: copyCase, relayLoss: relayLossCase, immediate: immediateCase, sparse: sparseCase })[name];
