/** What the room must know of libvirt URIs: whether they can be used, and which host they name. */
import { expected } from "./problems";

export const TRANSPORTS = ["unix", "ssh", "tcp"] as const;
export type Transport = (typeof TRANSPORTS)[number];

const FORMS = "qemu:///system, qemu+unix:///system?socket=/path, qemu+ssh://user@host/system or qemu+tcp://host/system";

export interface UriParts {
  transport: Transport;
  /** Absent: the machine that runs Pulumi. IPv6 without brackets. */
  host?: string;
}

/** The parts, or null for a URI that this version cannot use. */
export function uriParts(uri: string): UriParts | null {
  const match = /^qemu(?:\+([a-z0-9]+))?:\/\/(?:[^/@?#]*@)?(\[[0-9A-Fa-f:.%]+\]|[^/:?#\s]*)(?::\d{1,5})?(\/[^?#]*)?(?:\?\S*)?$/.exec(uri);
  if (!match || (match[3] !== "/system" && match[3] !== "/session")) return null;
  const host = match[2]!.replace(/^\[|\]$/g, "") || undefined;
  const scheme = match[1];
  if (scheme === undefined) return host ? null : { transport: "unix" };
  if (!(TRANSPORTS as readonly string[]).includes(scheme)) return null;
  if (scheme === "unix") return host ? null : { transport: "unix" };
  return host ? { transport: scheme as Transport, host } : null;
}

/** What is wrong with it, by the grammar; undefined: usable. */
export function uriProblem(uri: string): string | undefined {
  if (uriParts(uri)) return undefined;
  if (/^qemu\+tls:|^qemu:\/\/[^/]/.test(uri)) {
    return expected(FORMS, uri, "this version has no TLS transport yet, use qemu+ssh");
  }
  return expected(FORMS, uri);
}
