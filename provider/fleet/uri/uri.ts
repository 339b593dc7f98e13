/**
 * libvirt's connection URIs (libvirt.org/uri.html), as far as this version goes:
 * `qemu[+transport]://[user@][host][:port]/system[?name=value&…]`. The check and the adapter read them here, so that
 * what one lets pass the other can use. The text itself identifies a host in the record and is never rewritten.
 */
import { expected } from "../words/problems";
import { redactValue } from "../words/redaction";
import { parameterProblem, readParameters, TRANSPORTS, type AuthWish, type Parameters, type Transport } from "./parameters";
import { cutUri, type UriSyntax } from "./syntax";

/** Which daemon: the modular one of the driver, libvirtd (or virtproxyd, which listens in its place), or whichever is there. */
export type DaemonMode = "auto" | "direct" | "legacy";

interface AnyUri {
  /** What the daemon is asked to open. */
  name: string;
  auth?: AuthWish;
  /** libvirt's auth.conf here, with names and passwords for SASL. @default where libvirt's client looks for one */
  authFile?: string;
}

export type LibvirtUri =
  | AnyUri & { transport: "unix"; socket?: string; mode: DaemonMode }
  | AnyUri & { transport: "tcp"; host: string; port: number }
  | TlsUri
  | SshUri;

export interface TlsUri extends AnyUri {
  transport: "tls";
  /** IPv6 without brackets; what its certificate must name. */
  host: string;
  port: number;
  /** For SASL, where the auth file names none. */
  user?: string;
  /** Directory here of cacert.pem, clientcert.pem and clientkey.pem. @default libvirt's own places */
  pkiPath?: string;
  /** false: whoever answers is taken for the host. */
  verifies: boolean;
  /** false: this machine's own certificates are not looked at before they are used. */
  isSane: boolean;
}

export interface SshUri extends AnyUri {
  transport: "ssh";
  /** IPv6 without brackets. */
  host: string;
  port?: number;
  user?: string;
  /** The ssh program here. @default ssh */
  command?: string;
  keyfile?: string;
  knownHosts?: string;
  /** What becomes of a host key that is not known: asking nobody, ssh refuses it. @default as ssh is configured */
  hostKeys?: "acceptNew" | "acceptAny";
  /** Kinds of keys to try, where not all of them. */
  keys?: "agentOnly" | "filesOnly";
  /** On the host. */
  socket?: string;
  netcat?: string;
  proxy: "auto" | "netcat" | "native";
  mode: DaemonMode;
}

export interface UriParts {
  transport: Transport;
  /** Absent: the machine that runs Pulumi. IPv6 without brackets. */
  host?: string;
}

const NAME = "qemu:///system";
const TCP_PORT = 16509;
const TLS_PORT = 16514;
const FORMS = "qemu:///system, qemu+unix:///system?socket=/path, qemu+ssh://user@host/system, qemu+tls://host/system or qemu+tcp://host/system";

/**
 * A URI and what is wrong with it. With a problem alone it cannot be used at all; with both, a parameter is not
 * honoured: a check refuses that, while a URI that an earlier version recorded is still read, without the parameter.
 */
export interface ReadUri {
  uri?: LibvirtUri;
  /** By the grammar, without the property path. */
  problem?: string;
}

export function readUri(text: string): ReadUri {
  const parts = cutUri(text);
  const transport = parts && transportOf(parts);
  if (!parts || !transport) return { problem: unusable(text) };
  const server = serverProblem(text, parts, transport);
  if (server !== undefined) return { problem: server };
  const { parameters, problem } = readParameters(parts.query ?? "");
  const rest = problem ?? parameterProblem(parameters, transport) ?? (parts.fragment === undefined
    ? undefined : expected("a URI without a fragment", `#${parts.fragment}`, "write # as %23"));
  return { uri: meaningOf(parts, transport, parameters), ...(rest !== undefined && { problem: rest }) };
}

/** Transport and host, or null for a URI that this version cannot use. */
export function uriParts(text: string): UriParts | null {
  const { uri } = readUri(text);
  if (!uri) return null;
  return uri.transport === "unix" ? { transport: "unix" } : { transport: uri.transport, host: uri.host };
}

/** What is wrong with it, by the grammar; undefined: usable, and all of it honoured. */
export function uriProblem(text: string): string | undefined {
  return readUri(text).problem;
}

function transportOf({ scheme, host }: UriSyntax): Transport | undefined {
  // With a host and no transport libvirt means TLS.
  if (scheme === "qemu") return host === "" ? "unix" : "tls";
  return TRANSPORTS.find((one) => scheme === `qemu+${one}`);
}

const unusable = (text: string): string => expected(FORMS, redactValue(text));

/** What is wrong between the scheme and the parameters. */
function serverProblem(text: string, { user, host, port, path }: UriSyntax, transport: Transport): string | undefined {
  if (/\s/.test(text) || hasControls(text)) return unusable(text);
  if (path === "/session") return expected("the path /system", redactValue(text), "the session daemon has no pools or networks of the host");
  if (path !== "/system") return unusable(text);
  if (transport === "unix") return host === "" && port === undefined && user === undefined ? undefined : unusable(text);
  if (host === "") return unusable(text);
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    return expected("a port from 1 to 65535 in the URI", port);
  }
  if (user !== undefined && decoded(user) === undefined) return expected("a user whose percent signs are escapes such as %40", user, "write % as %25");
  if (user !== undefined && hasControls(decoded(user)!)) return expected("a user without control characters", user);
  return hostProblem(host);
}

/** Those that ssh itself refuses in a name, and what a URI means otherwise. */
const NO_HOST = /[^!-~]|["'`$\\;&<>|(){}%^[\]]|^-/;

function hostProblem(host: string): string | undefined {
  if (host.startsWith("[")) {
    return /^\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%25[\w.~-]+|%[\w.~-]+)?\]$/.test(host) ? undefined : expected("an IPv6 address between the brackets", host);
  }
  if ([...host].some((char) => char > "\x7f")) return expected("a host of ASCII letters in the URI", host, "write an international name in its xn-- form");
  return NO_HOST.test(host) ? expected("the name or address of a host in the URI", host) : undefined;
}

function meaningOf(parts: UriSyntax, transport: Transport, given: Parameters): LibvirtUri {
  const socket = given.socket === undefined ? {} : { socket: given.socket };
  const mode = given.mode ?? "auto";
  const any: AnyUri = { name: NAME, ...(given.auth !== undefined && { auth: given.auth }), ...(given.authfile !== undefined && { authFile: given.authfile }) };
  if (transport === "unix") return { ...any, transport, ...socket, mode };
  const host = parts.host.replace(/^\[|\]$/g, "").replace("%25", "%");
  const port = parts.port === undefined ? undefined : Number(parts.port);
  if (transport === "tcp") return { ...any, transport, host, port: port ?? TCP_PORT };
  const user = parts.user === undefined || parts.user === "" ? undefined : decoded(parts.user);
  if (transport === "tls") {
    return {
      ...any, transport, host, port: port ?? TLS_PORT, verifies: given.verifies ?? true, isSane: given.isSane ?? true,
      ...(user !== undefined && { user }),
      ...(given.pkipath !== undefined && { pkiPath: given.pkipath }),
    };
  }
  return {
    ...any, transport, host, ...socket, mode, proxy: proxyOf(given),
    ...(parts.port !== undefined && { port: Number(parts.port) }),
    ...(user !== undefined && { user }),
    ...(given.command !== undefined && { command: given.command }),
    ...(given.keyfile !== undefined && { keyfile: given.keyfile }),
    ...(given.known_hosts !== undefined && { knownHosts: given.known_hosts }),
    ...(given.netcat !== undefined && { netcat: given.netcat }),
    ...(given.hostKeys !== undefined && { hostKeys: given.hostKeys }),
    ...(given.keys !== undefined && { keys: given.keys }),
  };
}

/** As libvirt's client decides it: whoever names a socket or a netcat means netcat; the helper finds its daemon by itself. */
function proxyOf(given: Parameters): SshUri["proxy"] {
  if (given.proxy !== undefined && given.proxy !== "auto") return given.proxy;
  return given.socket !== undefined || given.netcat !== undefined || (given.mode ?? "auto") !== "auto" ? "netcat" : "auto";
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const hasControls = (text: string): boolean => [...text].some((char) => char < " " || char === "\x7f");

