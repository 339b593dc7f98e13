import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../../async/clock";
import { ConnectionLostError } from "../rpc/errors";
import { localSockets } from "./sockets";
import { openSsh } from "./ssh";
import { openTls } from "./tls";
import type { LibvirtUri } from "./uri";

/** Opens the byte stream a URI names. Rejects with ConnectionLostError, within `timeoutMs`. */
export function openTransport(uri: LibvirtUri, timeoutMs: number, clock: Clock): Promise<Duplex> {
  switch (uri.transport) {
    case "unix": return openUnix(localSockets(uri), timeoutMs, clock);
    case "tcp": return openSocket({ host: uri.host, port: uri.port }, `${uri.host}:${uri.port}`, timeoutMs, clock);
    case "tls": return openTls(uri, timeoutMs, clock);
    case "ssh": return Promise.resolve(openSsh(uri, timeoutMs, clock));
  }
}

/** The first of these that somebody listens on. What else is wrong with one (such as permission) is its own answer. */
export async function openUnix(paths: readonly string[], timeoutMs: number, clock: Clock): Promise<Socket> {
  const nobody: string[] = [];
  let last: unknown;
  for (const path of paths) {
    try {
      return await openSocket({ path }, `unix socket ${path}`, timeoutMs, clock);
    } catch (error) {
      if (!["ENOENT", "ECONNREFUSED"].includes(codeOf(error) ?? "")) throw error;
      nobody.push(path);
      last = error;
    }
  }
  if (nobody.length === 1) throw last;
  throw new ConnectionLostError(
    `no libvirt daemon listens on ${nobody.join(" or ")} (${codeOf(last)}): start libvirtd or virtqemud, or name its socket with ?socket= in the URI`,
    { cause: last },
  );
}

const codeOf = (error: unknown): string | undefined => ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code;

function openSocket(target: { path: string } | { host: string; port: number }, label: string, timeoutMs: number, clock: Clock): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(target);
    const forget = clock.after(timeoutMs, () => {
      socket.destroy();
      reject(new ConnectionLostError(`no connection to ${label} within ${timeoutMs / 1000} s`));
    });
    socket.once("connect", () => {
      forget();
      socket.removeAllListeners("error");
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once("error", (error) => {
      forget();
      reject(new ConnectionLostError(`cannot connect to ${label}: ${error.message}`, { cause: error }));
    });
  });
}
