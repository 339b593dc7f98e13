import { readUri, type LibvirtUri } from "../../../fleet";

export type { LibvirtUri, SshUri } from "../../../fleet";

/**
 * The URI as the check read it. A parameter that this version does not honour is left out: the check has refused it,
 * unless an earlier version let it pass and recorded it.
 * @throws Error in the words that follow a property path: `expected …, got "…"`
 */
export function parseLibvirtUri(text: string): LibvirtUri {
  const { uri, problem } = readUri(text);
  if (!uri) throw new Error(problem);
  return uri;
}
