/** Types of steps.mjs. */
export interface Steps {
  begin<T>(name: string, action: (doing: (text: string) => void) => Promise<T>): Promise<T>;
  waitingFor(): string;
  wait<T>(promise: Promise<T>): Promise<T>;
}
export function createSteps(log: (line: string) => void, options?: { tellEveryMs?: number; now?: () => number }): Steps;
export function duration(ms: number): string;
