/** Types of tally.mjs. */
export interface Result {
  passed: number;
  failed: number;
  skipped: number;
}
export interface MochaCounts {
  total: number;
  passed: number;
  failed: number;
  failedHooks: number;
  pending: number;
  ended: boolean;
  leaked: boolean;
  slowest?: Timed[];
}
export interface Timed {
  title: string;
  seconds: number;
}
export function mochaResult(counts: MochaCounts | null, exit: { code: number | null; why: string }): Result & { problems: string[] };
export function add(a: Result, b: Result): Result;
export function lastLine(result: Result): string;
export function succeeded(result: Pick<Result, "passed" | "failed">): boolean;
export function slowestLines(tests: readonly Timed[]): string[];
