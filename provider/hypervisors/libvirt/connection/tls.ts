/** `qemu+tls`: libvirt's protocol inside TLS, the host known by its certificate and, where it asks, this machine by its own. */
import { isIP } from "node:net";
import { checkServerIdentity, connect, type TLSSocket } from "node:tls";
import type { Clock } from "../../../async/clock";
import type { TlsUri } from "../../../fleet";
import { ConnectionLostError } from "../rpc/errors";
import { readCredentials, type Credentials, type PkiWorld } from "./pki";

/** What the daemon says once the handshake is over, where it takes this machine (virNetServerClientCheckAccess). */
const WELCOME = 1;

/**
 * Opens the stream and waits to be let in: with TLS 1.3 a daemon looks at the client's certificate after the client takes
 * the handshake for done, so only its first byte says.
 * @throws ConnectionLostError
 */
export async function openTls(uri: TlsUri, timeoutMs: number, clock: Clock, world: PkiWorld = {}): Promise<TLSSocket> {
  const { host, port } = uri;
  const label = `${host}:${port}`;
  const credentials = readCredentials(uri, world);
  const { authority, revoked, own } = credentials;
  const socket = connect({
    host, port,
    // A name is told to the daemon, an address must not be (RFC 6066). What the certificate must name is the same either way.
    ...(isIP(host) === 0 && { servername: host }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    rejectUnauthorized: uri.verifies,
    ...(authority !== undefined && { ca: authority }), ...(revoked !== undefined && { crl: revoked }),
    ...(own && { cert: own.certificate, key: own.key }),
  });
  return new Promise((resolve, reject) => {
    const fail = (error: ConnectionLostError): void => {
      forget();
      socket.destroy();
      reject(error);
    };
    const forget = clock.after(timeoutMs, () => fail(new ConnectionLostError(`no connection to ${label} within ${timeoutMs / 1000} s`)));
    let isSecure = false;
    socket.once("secureConnect", () => {
      isSecure = true;
      socket.setNoDelay(true);
    });
    const ended = (): void => fail(isSecure ? refused(label, credentials) : new ConnectionLostError(`${label} closed the connection before its certificate was seen: is libvirt's TLS port that one?`));
    const readable = (): void => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) return;
      if (first[0] !== WELCOME) return fail(refused(label, credentials));
      forget();
      // Node's own listeners stay, and ours for errors, too: one before the session listens must not go uncaught.
      socket.removeListener("end", ended).removeListener("readable", readable);
      resolve(socket);
    };
    socket.on("error", (error: NodeJS.ErrnoException) => fail(isSecure ? refused(label, credentials, error) : notConnected(label, credentials, error)));
    socket.on("end", ended).on("readable", readable);
  });
}

/** What a failed handshake means, by OpenSSL's names of it. */
function notConnected(label: string, { authorityPlace, certificatePlace }: Credentials, error: NodeJS.ErrnoException): ConnectionLostError {
  const lost = (text: string): ConnectionLostError => new ConnectionLostError(text, { cause: error });
  switch (error.code) {
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
      return lost(`the certificate of ${label} is not of the authority in ${authorityPlace}: put the authority that made it there, or name another directory with ?pkipath= in the URI`);
    case "CERT_HAS_EXPIRED":
      return lost(`the certificate of ${label} has expired: renew it there (servercert.pem)`);
    case "CERT_NOT_YET_VALID":
      return lost(`the certificate of ${label} is not valid yet: check the clocks of both machines`);
    case "CERT_REVOKED":
      return lost(`the certificate of ${label} was revoked by its authority: make a new one`);
    case "CRL_HAS_EXPIRED":
    case "UNABLE_TO_GET_CRL":
      return lost(`the list of revoked certificates (cacrl.pem) beside ${authorityPlace} is of no use (${error.code}): renew or remove it`);
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return lost(`the certificate of ${label} names others: ${error.message.replace(/^.*cert's altnames: /i, "")}: use one of those in the URI, or make a certificate that names this one`);
    default:
      if (/^ERR_SSL_.*ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(error.code ?? "")) return lost(`${label} does not take this machine's certificate ${certificatePlace}: ${error.message}`);
      if (/^(ERR_SSL_|EPROTO$)/.test(error.code ?? "")) return lost(`no TLS with ${label}: ${error.message}`);
      return lost(`cannot connect to ${label}: ${error.message}`);
  }
}

function refused(label: string, { own, certificatePlace }: Credentials, error?: Error): ConnectionLostError {
  const why = own
    ? `does not take this machine's certificate ${certificatePlace}: it is of another authority or expired, or neither its name nor this machine's address is allowed there (tls_allowed_dn_list)`
    : `wants a certificate of this machine, and there is none: put it into ${certificatePlace}, or name its directory with ?pkipath= in the URI`;
  return new ConnectionLostError(`${label} ${why}${error ? ` (${error.message})` : ""}`, { ...(error && { cause: error }) });
}
