/**
 * A URI in its parts, as RFC 3986 cuts it (libxml2 does so for libvirt), except that a user may hold an `@`: the host
 * begins after the last one. Nothing is decoded and nothing is judged here beyond the cut.
 */
export interface UriSyntax {
  scheme: string;
  /** Absent: no `@` in the authority. */
  user?: string;
  /** What follows the user's first colon. */
  password?: string;
  /** With its brackets, where it has some. */
  host: string;
  /** The digits, or whatever stands there. */
  port?: string;
  path: string;
  /** Without its `?`. */
  query?: string;
  /** Without its `#`. */
  fragment?: string;
}

/** The parts, or undefined for what is no URI with an authority (`scheme://…`). */
export function cutUri(text: string): UriSyntax | undefined {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#([\s\S]*))?$/.exec(text);
  if (!match) return undefined;
  const [, scheme, authority, path, query, fragment] = match as unknown as [string, string, string, string, string?, string?];
  const at = authority.lastIndexOf("@");
  const colon = at < 0 ? -1 : authority.slice(0, at).indexOf(":");
  const server = /^(\[[^\]]*\]|[^:]*)(?::([\s\S]*))?$/.exec(authority.slice(at + 1));
  if (!server) return undefined;
  return {
    scheme, host: server[1]!, path,
    ...(at >= 0 && { user: authority.slice(0, colon < 0 ? at : colon) }),
    ...(colon >= 0 && { password: authority.slice(colon + 1, at) }),
    ...(server[2] !== undefined && { port: server[2] }),
    ...(query !== undefined && { query }),
    ...(fragment !== undefined && { fragment }),
  };
}
