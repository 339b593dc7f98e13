/** A command for an administrator, with its names in their places. One that has no such name is left as it is. */
export const byHand = (command: string, names: Readonly<Record<string, string>>): string =>
  command.replace(/\{(\w+)\}/g, (place, key: string) => (Object.hasOwn(names, key) ? names[key]! : place));
