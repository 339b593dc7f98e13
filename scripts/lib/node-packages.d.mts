/** Types of node-packages.mjs. */
export interface Lock {
  packages: Record<string, { integrity?: string; optional?: boolean; devOptional?: boolean; peer?: boolean; link?: boolean }>;
}
export function whyInstall(wanted: Lock | null, installed: Lock | null): string | null;
