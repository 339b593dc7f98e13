/** `qemu+ssh`: the ssh program as a byte stream, and what it says when it fails. */
import { spawn, type ChildProcess } from "node:child_process";
import { Duplex } from "node:stream";
import type { Clock } from "../../../async/clock";
import type { SshUri } from "../../../fleet";
import { DIRECT_SOCKET, LEGACY_SOCKET } from "./sockets";

/** ssh ended. Its own words say what to mend: host key, permission, name. */
export class SshError extends Error {
  constructor(message: string, readonly refusedEarly: boolean) {
    super(message);
    this.name = "SshError";
  }
}

/** Single quotes for the remote shell: nothing between them is expanded. */
const shellQuote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/**
 * The remote end: virt-ssh-helper where it exists, which finds its daemon by itself, else netcat on the daemon's socket.
 * Which socket that is, libvirtd's (virtproxyd listens there, too) or the modular daemon's, is found out over there.
 */
export function sshCommand(uri: SshUri): string {
  const nc = shellQuote(uri.netcat ?? "nc");
  const helper = `exec virt-ssh-helper ${shellQuote(uri.name)}`;
  const fixed = uri.socket ?? (uri.mode === "direct" ? DIRECT_SOCKET : uri.mode === "legacy" ? LEGACY_SOCKET : undefined);
  const netcat = fixed !== undefined
    ? `exec ${nc} -U ${shellQuote(fixed)}`
    : `s=${LEGACY_SOCKET}; if [ ! -S "$s" ] && [ -S ${DIRECT_SOCKET} ]; then s=${DIRECT_SOCKET}; fi; exec ${nc} -U "$s"`;
  const script = uri.proxy === "native" ? helper
    : uri.proxy === "netcat" ? netcat
      : `if command -v virt-ssh-helper >/dev/null 2>&1; then ${helper}; fi; ${netcat}`;
  return `sh -c ${shellQuote(script)}`;
}

const HOST_KEYS = { acceptNew: "accept-new", acceptAny: "no" } as const;

export function sshArguments(uri: SshUri, timeoutMs: number): string[] {
  return [
    "-T", "-e", "none",
    "-o", "BatchMode=yes",
    "-o", `ConnectTimeout=${Math.max(1, Math.ceil(timeoutMs / 1000))}`,
    ...(uri.port !== undefined ? ["-p", String(uri.port)] : []),
    ...(uri.user !== undefined ? ["-l", uri.user] : []),
    ...(uri.keyfile !== undefined ? ["-i", uri.keyfile] : []),
    ...(uri.keys === "agentOnly" ? ["-o", "IdentityFile=none"] : []),
    ...(uri.keys === "filesOnly" ? ["-o", "IdentityAgent=none"] : []),
    ...(uri.knownHosts !== undefined ? ["-o", `UserKnownHostsFile=${uri.knownHosts}`] : []),
    ...(uri.hostKeys !== undefined ? ["-o", `StrictHostKeyChecking=${HOST_KEYS[uri.hostKeys]}`] : []),
    "--", uri.host, sshCommand(uri),
  ];
}

/**
 * ssh's words on stderr, all of them on one line: the last one alone hides an unprotected key file, a jump host that is
 * closed, or an `nc` that knows no `-U`. What it says of every new host, and frames of at-signs, are left out.
 */
export function complaintOf(stderr: string): string {
  const lines = stderr.split(/[\r\n]+/)
    .map((line) => [...line].map((char) => (char < " " || char === "\x7f" ? " " : char)).join("").replace(/^[@\s]+|[@\s]+$/g, ""))
    .filter((line) => line !== "" && !line.startsWith("Warning: Permanently added "));
  const text = lines.slice(-MOST_LINES).join("; ");
  return text.length > MOST_CHARACTERS ? `…${text.slice(-MOST_CHARACTERS)}` : text;
}
const MOST_LINES = 8;
const MOST_CHARACTERS = 800;

/** How long output may still come after ssh itself has ended: a process that it left behind may hold it open for ever. */
const DRAIN_MS = 250;
const MOST_STDERR = 8_000;

/** Process groups of ssh that are still there: none of them outlives this process. */
const groups = new Set<number>();
process.on("exit", () => {
  for (const group of groups) endGroup(group);
});

function endGroup(group: number): void {
  try {
    process.kill(-group, "SIGTERM");
  } catch {
    // It is gone.
  }
}

/** The stream, and what ssh has said on stderr so far. */
export interface SshStream extends Duplex {
  complaint(): string;
}

/**
 * In a process group of its own, so that what it starts (a jump host's ssh, a proxy command) ends with it. A master
 * that ssh's own configuration keeps in the background is not in it, and is kept.
 */
export function openSsh(uri: SshUri, timeoutMs: number, clock: Clock): SshStream {
  const child = spawn(uri.command ?? "ssh", sshArguments(uri, timeoutMs), { stdio: ["pipe", "pipe", "pipe"], detached: true });
  const group = child.pid;
  if (group !== undefined) groups.add(group);
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString("utf8")).slice(-MOST_STDERR);
  });
  let answered = false;
  const duplex = new Duplex({
    read: () => child.stdout.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (child.stdin.write(chunk)) done();
      else child.stdin.once("drain", () => done());
    },
    final: (done) => child.stdin.end(done),
    destroy: (error, done) => {
      if (group !== undefined && groups.has(group)) endGroup(group);
      done(error);
    },
  });
  child.stdout.on("data", (chunk: Buffer) => {
    answered = true;
    if (!duplex.push(chunk)) child.stdout.pause();
  });
  child.stdin.on("error", () => undefined); // ssh's exit says more
  // At once would be before whoever opened the stream can listen for its errors.
  child.on("error", (error) => setImmediate(() => duplex.destroy(new SshError(`cannot run ssh: ${error.message}`, false))));
  void ended(child, clock).then((code) => {
    if (group !== undefined) {
      groups.delete(group);
      endGroup(group);
    }
    if (duplex.destroyed) return;
    const words = complaintOf(stderr);
    if (code === 0) duplex.push(null);
    else duplex.destroy(new SshError(`ssh to ${uri.host} ended with code ${code}${words ? `: ${words}` : ""}`, !answered && isEarlyRefusal(code, stderr)));
  });
  return Object.assign(duplex, { complaint: () => complaintOf(stderr) });
}

/** ssh's end, once its output has come, or has had the time to. A signal counts as code 128. */
function ended(child: ChildProcess, clock: Clock): Promise<number> {
  return new Promise((resolve) => {
    child.once("exit", (code) => {
      const done = (): void => {
        forget();
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve(code ?? 128);
      };
      const forget = clock.after(DRAIN_MS, done);
      child.once("close", done);
    });
  });
}

/**
 * An sshd on the way (the host's, or a jump host's) dropped the connection before a word was said: too many were being
 * made (its MaxStartups). ssh speaks no other language, and has one exit code for all that it refuses. The ssh that goes
 * through a jump host says the same when that one's ssh failed for good: then the reason stands beside it.
 */
export function isEarlyRefusal(code: number, stderr: string): boolean {
  return code === 255 && /^(kex|ssh)_exchange_identification: (Connection closed|read: |write: )/m.test(stderr) && !FOR_GOOD.test(stderr);
}
const FOR_GOOD = new RegExp([
  "Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION", "open failed", "forwarding failed", "Could not resolve",
  "Connection refused", "No route to host", "timed out", "Network is unreachable", "Too many authentication failures", "Bad configuration",
].join("|"));
