import { spawn } from "node:child_process";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { ConnectionLostError } from "./errors";
import type { LibvirtUri } from "./uri";

/** Opens the byte stream a URI names. Rejects with ConnectionLostError, within `timeoutMs`. */
export function openTransport(uri: LibvirtUri, timeoutMs: number): Promise<Duplex> {
  switch (uri.transport) {
    case "unix": return openSocket({ path: uri.socket }, `unix socket ${uri.socket}`, timeoutMs);
    case "tcp": return openSocket({ host: uri.host, port: uri.port }, `${uri.host}:${uri.port}`, timeoutMs);
    case "ssh": return Promise.resolve(openSsh(uri, timeoutMs));
  }
}

function openSocket(target: { path: string } | { host: string; port: number }, label: string, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(target);
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new ConnectionLostError(`no connection to ${label} within ${timeoutMs / 1000} s`));
    }, timeoutMs);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(new ConnectionLostError(`cannot connect to ${label}: ${error.message}`, { cause: error }));
    });
  });
}

/** Single quotes for the remote shell: nothing between them is expanded. */
const shellQuote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * The remote end of `qemu+ssh`: virt-ssh-helper where it exists, else netcat on the daemon's socket, as libvirt's own
 * client does with `proxy=auto`. A `socket` in the URI always means netcat.
 */
export function sshCommand(uri: Extract<LibvirtUri, { transport: "ssh" }>): string {
  const netcat = `exec ${shellQuote(uri.netcat ?? "nc")} -U ${shellQuote(uri.socket ?? "/var/run/libvirt/libvirt-sock")}`;
  const script = uri.socket !== undefined || uri.netcat !== undefined
    ? netcat
    : `if command -v virt-ssh-helper >/dev/null 2>&1; then exec virt-ssh-helper ${shellQuote(uri.name)}; else ${netcat}; fi`;
  return `sh -c ${shellQuote(script)}`;
}

export function sshArguments(uri: Extract<LibvirtUri, { transport: "ssh" }>, timeoutMs: number): string[] {
  return [
    "-T", "-e", "none",
    "-o", "BatchMode=yes",
    "-o", `ConnectTimeout=${Math.max(1, Math.ceil(timeoutMs / 1000))}`,
    ...(uri.port !== undefined ? ["-p", String(uri.port)] : []),
    ...(uri.user !== undefined ? ["-l", uri.user] : []),
    ...(uri.keyfile !== undefined ? ["-i", uri.keyfile] : []),
    ...(uri.knownHosts !== undefined ? ["-o", `UserKnownHostsFile=${uri.knownHosts}`] : []),
    ...(uri.noVerify ? ["-o", "StrictHostKeyChecking=no"] : []),
    "--", uri.host, sshCommand(uri),
  ];
}

/** ssh's own words on stderr become the error: they say what to mend (host key, permission, name). */
function openSsh(uri: Extract<LibvirtUri, { transport: "ssh" }>, timeoutMs: number): Duplex {
  const child = spawn("ssh", sshArguments(uri, timeoutMs), { stdio: ["pipe", "pipe", "pipe"] });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString("utf8")).slice(-2_000);
  });
  const duplex = new Duplex({
    read: () => child.stdout.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (child.stdin.write(chunk)) done();
      else child.stdin.once("drain", () => done());
    },
    final: (done) => child.stdin.end(done),
    destroy: (error, done) => {
      child.kill();
      done(error);
    },
  });
  child.stdout.on("data", (chunk: Buffer) => {
    if (!duplex.push(chunk)) child.stdout.pause();
  });
  child.stdin.on("error", () => undefined); // ssh's exit says more
  child.on("error", (error) => duplex.destroy(new Error(`cannot run ssh: ${error.message}`)));
  child.on("close", (code) => {
    const why = complaint.trim().split("\n").at(-1);
    if (code !== 0 && !duplex.destroyed) duplex.destroy(new Error(`ssh to ${uri.host} ended with code ${code}${why ? `: ${why}` : ""}`));
    else duplex.push(null);
  });
  return duplex;
}
