/** Types of pulumi-download.mjs. */
export interface Limits {
  giveUpMs: number;
  idleMs: number;
  worthMs: number;
  lookEveryMs: number;
}
export const LIMITS: Limits;
export function placesOf(version: string, mirror?: string): string[];
export function downloadPulumi(options: {
  version: string; folder: string; places?: string[]; limits?: Limits; doing?: (text: string) => void; signal?: AbortSignal;
  platform?: string; arch?: string;
}): Promise<void>;
