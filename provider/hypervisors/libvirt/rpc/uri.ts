/**
 * libvirt's connection URIs, as far as this client goes: `driver[+transport]://[user@][host][:port]/[path][?params]`
 * (libvirt.org/uri.html). Without a transport and a host it is the unix socket; with a host and no transport, TLS.
 */
export type LibvirtUri =
  | { transport: "unix"; name: string; socket: string }
  | { transport: "tcp"; name: string; host: string; port: number }
  | {
    transport: "ssh"; name: string; host: string; port?: number; user?: string; keyfile?: string; socket?: string;
    netcat?: string; knownHosts?: string; noVerify: boolean;
  };

const TCP_PORT = 16509;
const SYSTEM_SOCKET = "/var/run/libvirt/libvirt-sock";

/** @throws Error in the words that follow a property path: `expected …, got "…"`. */
export function parseLibvirtUri(text: string): LibvirtUri {
  const bad = (expected: string): Error => new Error(`expected ${expected}, got ${JSON.stringify(text)}`);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw bad("a libvirt URI such as qemu+ssh://root@host/system");
  }
  const [driver, transport] = url.protocol.slice(0, -1).split("+");
  if (driver !== "qemu") throw bad("a URI of the qemu driver (qemu:///system, qemu+ssh://…, qemu+tcp://…)");
  if (url.pathname !== "/system") throw bad("the path /system (the session daemon has no pools or networks of the host)");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? undefined : Number(url.port);
  const param = (name: string): string | undefined => url.searchParams.get(name) ?? undefined;
  const name = "qemu:///system";
  switch (transport ?? (host === "" ? "unix" : "tls")) {
    case "unix":
      if (host !== "") throw bad("no host in a unix URI");
      return { transport: "unix", name, socket: param("socket") ?? SYSTEM_SOCKET };
    case "tcp":
      if (host === "") throw bad("a host in a tcp URI");
      return { transport: "tcp", name, host, port: port ?? TCP_PORT };
    case "ssh":
      if (host === "") throw bad("a host in an ssh URI");
      return {
        transport: "ssh", name, host, port, user: url.username === "" ? undefined : decodeURIComponent(url.username),
        keyfile: param("keyfile"), socket: param("socket"), netcat: param("netcat"), knownHosts: param("known_hosts"),
        noVerify: param("no_verify") === "1",
      };
    case "tls":
      throw bad("qemu+ssh, qemu+tcp or a unix socket (TLS is not supported by this version)");
    default:
      throw bad("one of the transports unix, tcp, ssh");
  }
}
