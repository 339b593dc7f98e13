/** `qemu+tls`: libvirt's protocol inside TLS, the host known by its certificate and, where it asks, this machine by its own. */
import { isIP, isIPv6 } from "node:net";
import { checkServerIdentity, connect, createSecureContext, type PeerCertificate, type SecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
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
  const label = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const credentials = readCredentials(uri, world);
  const socket = connect({
    host, port, secureContext: contextOf(credentials),
    // A name is told to the daemon, an address must not be (RFC 6066). What the certificate must name is the same either way.
    ...(isIP(host) === 0 && { servername: host }),
    checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    rejectUnauthorized: uri.verifies,
  });
  return new Promise((resolve, reject) => {
    let isSecure = false;
    const fail = (error: ConnectionLostError): void => {
      forget();
      socket.destroy();
      reject(error);
    };
    const forget = clock.after(timeoutMs, () => fail(new ConnectionLostError(isSecure
      ? `${label} said nothing for ${timeoutMs / 1000} s after the handshake`
      : `no connection to ${label} within ${timeoutMs / 1000} s`)));
    socket.once("secureConnect", () => {
      isSecure = true;
      socket.setNoDelay(true);
    });
    const ended = (): void => fail(isSecure ? hungUp(label, credentials) : new ConnectionLostError(`${label} closed the connection before its certificate was seen: is libvirt's TLS port that one?`));
    const readable = (): void => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) return;
      if (first[0] !== WELCOME) return fail(new ConnectionLostError(`${label} does not speak libvirt's protocol inside TLS: is libvirt's TLS port that one?`));
      forget();
      // Node's own listeners stay, and ours for errors, too: one before the session listens must not go uncaught.
      socket.removeListener("end", ended).removeListener("readable", readable);
      resolve(socket);
    };
    socket.on("error", (error: TlsError) => fail(isSecure ? hungUp(label, credentials, error) : notConnected(label, credentials, error)));
    socket.on("end", ended).on("readable", readable);
  });
}

type TlsError = NodeJS.ErrnoException & { reason?: string; cert?: PeerCertificate };

/** In one line: OpenSSL's own text has its places in it, and a line end. */
const wordsOf = ({ reason, message }: TlsError): string => reason ?? message.trim();

/**
 * Trusted is what stands in libvirt's place, and nothing else: the system's authorities are not. An authority there need be
 * no root, as for GnuTLS.
 * @throws ConnectionLostError
 */
function contextOf({ authorities, revoked, own, certificatePlace, keyPlace, authorityPlace, revokedPlace }: Credentials): SecureContext {
  const make = (options: SecureContextOptions & { allowPartialTrustChain?: boolean }, places: string): SecureContext => {
    try {
      return createSecureContext({ ca: [], allowPartialTrustChain: true, ...options } as SecureContextOptions);
    } catch (error) {
      throw new ConnectionLostError(`${places} cannot be used: ${wordsOf(error as TlsError)}`, { cause: error });
    }
  };
  // One after the other, so that what is wrong is said of the file it stands in.
  const ca = authorities ?? [];
  make({ ca }, authorityPlace);
  if (revoked) make({ ca, crl: revoked }, revokedPlace);
  return make({ ca, ...(revoked && { crl: revoked }), ...(own && { cert: own.certificate, key: own.key }) }, `${certificatePlace} with ${keyPlace}`);
}

/** What a failed handshake means, by OpenSSL's names of it. */
function notConnected(label: string, credentials: Credentials, error: TlsError): ConnectionLostError {
  const { own, authorityPlace, certificatePlace, revokedPlace } = credentials;
  const lost = (text: string): ConnectionLostError => new ConnectionLostError(text, { cause: error });
  const { code = "" } = error;
  switch (code) {
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
      return lost(`the certificate of ${label} is not of the authority in ${authorityPlace}: put the authority that made it there, or name another directory with ?pkipath= in the URI`);
    case "CERT_HAS_EXPIRED":
      return lost(`the certificate of ${label}, or of an authority that vouches for it, has expired: renew it there (servercert.pem)`);
    case "CERT_NOT_YET_VALID":
      return lost(`the certificate of ${label} is not valid yet: check the clocks of both machines`);
    case "CERT_REVOKED":
      return lost(`the certificate of ${label} was revoked by its authority: make a new one`);
    case "CRL_HAS_EXPIRED":
      return lost(`a list of revoked certificates in ${revokedPlace} is out of date: renew it`);
    case "UNABLE_TO_GET_CRL":
      return lost(`${revokedPlace} has no list of revoked certificates of each authority that vouches for ${label}: add those that are missing`);
    case "INVALID_PURPOSE":
      return lost(`the certificate of ${label} is not made for a server (extendedKeyUsage serverAuth): make a new one`);
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return lost(`the certificate of ${label} names others: ${namesOf(error.cert)}: use one of those in the URI, or make a certificate that names this one`);
  }
  if (/^ERR_SSL_.*ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/.test(code)) return refused(label, credentials, error);
  // Before TLS 1.3 whoever misses a certificate says no more than that.
  if (/^ERR_SSL_.*ALERT_HANDSHAKE_FAILURE/.test(code) && !own) return refused(label, credentials, error);
  if (/^(ERR_SSL_|EPROTO$)/.test(code)) return lost(`no TLS with ${label}${own ? ` (with ${certificatePlace})` : ""}: ${wordsOf(error)}`);
  return lost(`cannot connect to ${label}: ${error.message}`);
}

const namesOf = (certificate: PeerCertificate | undefined): string => certificate?.subjectaltname ?? [certificate?.subject?.CN ?? "nobody"].flat().join(", ");

const why = ({ own, certificatePlace }: Credentials): string => (own
  ? `does not take this machine's certificate ${certificatePlace}: it is of another authority or expired, or neither its name nor this machine's address is allowed there (tls_allowed_dn_list)`
  : `wants a certificate of this machine, and there is none: put it into ${certificatePlace}, or name its directory with ?pkipath= in the URI`);

const refused = (label: string, credentials: Credentials, error: TlsError): ConnectionLostError =>
  new ConnectionLostError(`${label} ${why(credentials)} (${wordsOf(error)})`, { cause: error });

/** libvirt's daemon does so where it does not take a client. */
const hungUp = (label: string, credentials: Credentials, error?: TlsError): ConnectionLostError =>
  new ConnectionLostError(`${label} hung up after the handshake; most likely it ${why(credentials)}${error ? ` (${wordsOf(error)})` : ""}`, { ...(error && { cause: error }) });
