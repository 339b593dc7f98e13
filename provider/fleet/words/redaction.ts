/**
 * The one place that knows where a password can stand in a text, and cuts it out. Whatever is shown (problems, errors,
 * the row, the command line) goes through here.
 */
import { cutUri } from "../uri/syntax";

const HIDDEN = "***";

/**
 * Any text, with the password of each URI in it cut out. A URI ends at white space. Where one can be read as a libvirt
 * URI, exactly its password goes; where it cannot (a password with a slash makes it so), all from the first colon to
 * the last `@`: rather too much than too little.
 */
export function redact(text: string): string {
  if (!text.includes("//")) return text;
  return text.replace(/((?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\/)(\S+)/g, (_whole, scheme: string, rest: string) => scheme + cut(scheme, rest));
}

/** A value that stands for itself, as `uri` does: its password may hold white space, and its slashes may be missing. */
export function redactValue(value: string): string {
  const scheme = /^\s*[A-Za-z][A-Za-z0-9+.-]*:\/+/.exec(value)?.[0] ?? "";
  return scheme + cut(scheme, value.slice(scheme.length));
}

/** Whether a URI holds anything that `redactValue` would cut out. */
export function holdsPassword(uri: string): boolean {
  return redactValue(uri) !== uri;
}

function cut(scheme: string, rest: string): string {
  const end = rest.search(/["'`)\]},.;:>]*$/);
  const at = rest.lastIndexOf("@", authorityLength(scheme + rest.slice(0, end)) ?? rest.length);
  const colon = at < 0 ? -1 : rest.slice(0, at).indexOf(":");
  return colon < 0 ? rest : `${rest.slice(0, colon)}:${HIDDEN}${rest.slice(at)}`;
}

/** Of a URI that libvirt could read: then what follows the host is no password, whatever it looks like. */
function authorityLength(uri: string): number | undefined {
  const parts = cutUri(uri);
  if (!parts || /\s/.test(uri) || !/^\d*$/.test(parts.port ?? "") || !/^\/(system|session)$/.test(parts.path)) return undefined;
  if (parts.query !== undefined && !/^\w+=[^&;]*([&;]\w+=[^&;]*)*$/.test(parts.query)) return undefined;
  return uri.indexOf("/", parts.scheme.length + 3) - parts.scheme.length - 3;
}
