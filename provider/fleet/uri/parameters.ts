/** The parameters of a libvirt URI: honoured, or refused by name. Names count without regard to case, as in libvirt. */
import { alternatives, expected, nearest, seen } from "../words/problems";

export const TRANSPORTS = ["unix", "ssh", "tcp", "tls"] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** How to say who one is, where not as the daemon asks first. */
export type AuthWish = { kind: "polkit" } | { kind: "sasl"; mechanism?: SaslMechanism };

export interface Parameters {
  mode?: "auto" | "direct" | "legacy";
  proxy?: "auto" | "netcat" | "native";
  command?: string;
  socket?: string;
  netcat?: string;
  keyfile?: string;
  known_hosts?: string;
  hostKeys?: "acceptNew" | "acceptAny";
  /** Of a host's certificate. */
  verifies?: boolean;
  isSane?: boolean;
  pkipath?: string;
  auth?: AuthWish;
  authfile?: string;
  keys?: "agentOnly" | "filesOnly";
  /** The names that were given and understood, in order. */
  names: string[];
}

/** What was expected instead of a value, and why where that is not plain. */
interface Unread {
  wanted: string;
  why?: string;
}

interface Parameter {
  /** Takes the value into the parameters, or says why it cannot. */
  read(value: string, into: Parameters): Unread | undefined;
}

const oneOf = <T extends string>(words: readonly T[], put: (into: Parameters, word: T) => void): Parameter => ({
  read: (value, into) => {
    const word = words.find((one) => one === value);
    if (word === undefined) return { wanted: alternatives(words) };
    put(into, word);
    return undefined;
  },
});

const path = (put: (into: Parameters, value: string) => void): Parameter => ({
  read: (value, into) => {
    if (value === "") return { wanted: "a path" };
    put(into, value);
    return undefined;
  },
});

/** libvirt reads a number: 0 is no, any other is yes. */
const flag = (put: (into: Parameters, on: boolean) => Unread | undefined): Parameter => ({
  read: (value, into) => (/^-?\d+$/.test(value) ? put(into, Number(value) !== 0) : { wanted: "0 or 1" }),
});

const SSH_AUTH = ["agent", "privkey", "password", "keyboard-interactive"];

/** ssh runs without a terminal: it tries keys, and asks nobody for a password. */
function sshauth(value: string, into: Parameters): Unread | undefined {
  const methods = value.toLowerCase().split(",");
  const agent = methods.includes("agent");
  const files = methods.includes("privkey");
  if (!methods.every((one) => SSH_AUTH.includes(one)) || (!agent && !files)) {
    return { wanted: "a list of agent, privkey, password and keyboard-interactive, with agent or privkey among them,", why: "nobody can be asked for a password" };
  }
  if (agent !== files) into.keys = agent ? "agentOnly" : "filesOnly";
  return undefined;
}

/** The ways of SASL (RFC 4422) that this version speaks, best first: RFC 7677 and its kin, RFC 4616. */
export const SASL_MECHANISMS = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"] as const;
export type SaslMechanism = (typeof SASL_MECHANISMS)[number];

/** libvirt's words: `sasl`, one of its mechanisms behind a dot, or `polkit`. */
function auth(value: string, into: Parameters): Unread | undefined {
  const word = value.toUpperCase();
  const mechanism = SASL_MECHANISMS.find((one) => word === `SASL.${one}`);
  if (word === "POLKIT") into.auth = { kind: "polkit" };
  else if (word === "SASL" || mechanism) into.auth = { kind: "sasl", ...(mechanism && { mechanism }) };
  else return { wanted: alternatives(["sasl", ...SASL_MECHANISMS.map((one) => `sasl.${one}`), "polkit"]), why: "this version speaks no other" };
  return undefined;
}

const HONOURED: Readonly<Record<string, Parameter>> = {
  name: { read: (value) => (value === "qemu:///system" ? undefined : { wanted: "qemu:///system", why: "this version opens no other" }) },
  mode: oneOf(["auto", "direct", "legacy"] as const, (into, word) => { into.mode = word; }),
  proxy: oneOf(["auto", "netcat", "native"] as const, (into, word) => { into.proxy = word; }),
  command: path((into, value) => { into.command = value; }),
  socket: path((into, value) => { into.socket = value; }),
  netcat: path((into, value) => { into.netcat = value; }),
  keyfile: path((into, value) => { into.keyfile = value; }),
  known_hosts: path((into, value) => { into.known_hosts = value; }),
  known_hosts_verify: oneOf(["normal", "auto", "ignore"] as const, (into, word) => {
    if (word !== "normal") into.hostKeys ??= word === "auto" ? "acceptNew" : "acceptAny";
  }),
  no_verify: flag((into, on) => {
    if (on) into.hostKeys = "acceptAny";
    into.verifies = !on;
    return undefined;
  }),
  no_sanity: flag((into, on) => {
    into.isSane = !on;
    return undefined;
  }),
  pkipath: path((into, value) => { into.pkipath = value; }),
  auth: { read: auth },
  authfile: path((into, value) => { into.authfile = value; }),
  no_tty: flag((_into, on) => (on ? undefined : { wanted: "1", why: "ssh has no terminal here and asks for no password" })),
  sshauth: { read: sshauth },
};

const OF_SSH = ["name", "mode", "proxy", "command", "socket", "netcat", "keyfile", "known_hosts", "known_hosts_verify", "no_verify", "no_tty", "sshauth", "auth", "authfile"];
const OF: Readonly<Record<Transport, readonly string[]>> = {
  unix: ["name", "mode", "socket", "auth", "authfile"],
  // Over plain TCP libvirtd wants mechanisms that encrypt by themselves, and none of SASL_MECHANISMS does.
  tcp: ["name"],
  tls: ["name", "pkipath", "no_verify", "no_sanity", "auth", "authfile"],
  ssh: OF_SSH,
};

/** libvirt's own that mean nothing here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  tls_priority: "it is in GnuTLS's words, and TLS is Node's here (NODE_OPTIONS=--tls-cipher-list and --tls-min-v1.2 set it)",
};

/** All that can be read, and the first thing that cannot. */
export function readParameters(query: string): { parameters: Parameters; problem?: string } {
  const parameters: Parameters = { names: [] };
  const values = new Map<string, string>();
  let problem: string | undefined;
  for (const piece of pieces(query)) {
    problem = readPiece(piece, parameters, values) ?? problem;
  }
  return { parameters, ...(problem !== undefined && { problem }) };
}

/** Cut as libvirt's client cuts: at each `&`, and, where none is left, at each `;`. */
function pieces(query: string): string[] {
  const parts = query.split("&");
  return [...parts.slice(0, -1), ...parts.at(-1)!.split(";")].filter((piece) => piece !== "");
}

function readPiece(piece: string, into: Parameters, values: Map<string, string>): string | undefined {
  const equals = piece.indexOf("=");
  const name = unescaped(equals < 0 ? piece : piece.slice(0, equals))?.toLowerCase();
  const value = unescaped(equals < 0 ? "" : piece.slice(equals + 1));
  if (name === undefined || value === undefined) {
    return expected("percent signs in the URI's parameters that are escapes such as %20", piece, "write % as %25");
  }
  if ([...value].some((char) => char < " " || char === "\x7f")) return expected(`no control character in the URI's parameter ${name}`, value);
  if (/;\w+=/.test(value)) return expected("parameters of the URI that are all separated by &", piece, "write a ; that is meant as %3B");
  const parameter = Object.hasOwn(HONOURED, name) ? HONOURED[name] : undefined;
  if (!parameter) {
    const meant = nearest(name, Object.keys(HONOURED));
    const why = Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name] : meant ? `did you mean ${meant}?` : "remove it";
    return expected("only parameters in the URI that this version honours", name, why);
  }
  const earlier = values.get(name);
  if (earlier !== undefined && earlier !== value) return expected(`one value of the URI's parameter ${name}`, value, `it has ${seen(earlier)} already`);
  values.set(name, value);
  into.names.push(name);
  const unread = parameter.read(value, into);
  return unread && expected(`${unread.wanted} in the URI's parameter ${name}`, value, unread.why);
}

/** Percent-decoded, not form-decoded: a plus is a plus. Undefined: a percent sign that is no escape, or no UTF-8. */
function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** What does not go with this transport, or with each other. */
export function parameterProblem(given: Parameters, transport: Transport): string | undefined {
  const stray = given.names.find((name) => !OF[transport].includes(name));
  if (stray !== undefined) {
    const allowed = OF[transport].length === 1 ? "none but name" : alternatives(OF[transport]);
    return expected(`parameters that mean something to ${transport} (${allowed})`, stray, "remove it");
  }
  if (given.proxy === "native") {
    const beside = given.netcat !== undefined ? "netcat" : given.socket !== undefined ? "socket" : (given.mode ?? "auto") !== "auto" ? "mode" : undefined;
    if (beside) return expected("proxy=netcat beside the URI's parameter " + beside, "native", "virt-ssh-helper finds its daemon by itself");
  }
  return undefined;
}
