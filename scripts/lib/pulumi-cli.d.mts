/** Types of pulumi-cli.mjs. */
export function isRecent(version: string): boolean;
