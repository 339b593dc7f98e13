/**
 * Where libvirt's client keeps its certificates (libvirt.org/kbase/tlscerts.html), and what is in them:
 * virNetTLSContextLocateCredentials.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { TlsUri } from "../../../fleet";
import { ConnectionLostError } from "../rpc/errors";

export interface Credentials {
  /** PEM of each certificate there; absent: there is none, and nothing is verified. */
  authorities?: string[];
  /** PEM of each list of revocations. */
  revoked?: string[];
  /** Of this machine, PEM; absent: it has none, which a daemon may allow. */
  own?: { certificate: string; key: string };
  /** Where this machine's certificate is, or would have been. */
  certificatePlace: string;
  keyPlace: string;
  authorityPlace: string;
  revokedPlace: string;
}

/** Passed in for tests. */
export interface PkiWorld {
  /** @default the user's */
  home?: string;
  /** Root has no files of its own, as in libvirt's client. @default as this process runs */
  isRoot?: boolean;
  /** @default "/etc/pki" */
  directory?: string;
  /** The time of day, by which certificates are valid. @default now */
  dateMs?: number;
}

interface Places {
  authority: string;
  revoked: string;
  certificate: string;
  key: string;
}

/** As libvirt chooses: the directory in the URI, else the user's files, each where it exists, else the host's. */
function placesOf({ pkiPath }: TlsUri, { home = homedir(), isRoot = process.geteuid?.() === 0, directory = "/etc/pki" }: PkiWorld): Places {
  const inOne = (dir: string): Places => ({
    authority: join(dir, "cacert.pem"), revoked: join(dir, "cacrl.pem"), certificate: join(dir, "clientcert.pem"), key: join(dir, "clientkey.pem"),
  });
  if (pkiPath !== undefined) return inOne(pkiPath);
  const user = inOne(join(home, ".pki", "libvirt"));
  const host: Places = {
    authority: join(directory, "CA", "cacert.pem"), revoked: join(directory, "CA", "cacrl.pem"),
    certificate: join(directory, "libvirt", "clientcert.pem"), key: join(directory, "libvirt", "private", "clientkey.pem"),
  };
  if (isRoot) return host;
  // A certificate is no use without its key: the two come from one place.
  const own = existsSync(user.certificate) && existsSync(user.key) ? user : host;
  return {
    authority: existsSync(user.authority) ? user.authority : host.authority,
    revoked: existsSync(user.revoked) ? user.revoked : host.revoked,
    certificate: own.certificate, key: own.key,
  };
}

/** @throws ConnectionLostError in words that say which file is wrong, and how */
export function readCredentials(uri: TlsUri, world: PkiWorld = {}): Credentials {
  const { dateMs = new Date().getTime() } = world;
  const places = placesOf(uri, world);
  const authorities = pemsIn(places.authority, "CERTIFICATE", "the certificate of the authority that vouches for the hosts");
  if (!authorities && uri.verifies) {
    throw new ConnectionLostError(`expected ${places.authority}, the certificate of the authority that vouches for ${uri.host}, on this machine: ` +
      "put it there, or name its directory with ?pkipath= in the URI");
  }
  const revoked = pemsIn(places.revoked, "X509 CRL", "a list of revoked certificates");
  const certificate = readIfThere(places.certificate, "this machine's certificate");
  const key = readIfThere(places.key, "this machine's key");
  if (certificate !== undefined && key === undefined) throw new ConnectionLostError(`expected the key ${places.key} beside the certificate ${places.certificate}`);
  const own = certificate !== undefined && key !== undefined ? { certificate, key } : undefined;
  if (uri.isSane) {
    for (const authority of authorities ?? []) assertValid(authority, places.authority, dateMs);
    if (own) assertOwn(own, places, dateMs);
  }
  return {
    ...(authorities && { authorities }), ...(revoked && { revoked }), ...(own && { own }),
    certificatePlace: places.certificate, keyPlace: places.key, authorityPlace: places.authority, revokedPlace: places.revoked,
  };
}

/** As libvirt looks: what may not be reached is not there. */
function readIfThere(path: string, what: string): string | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConnectionLostError(`${path}, ${what}, cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

/** All of that kind in one file: Node would take the first, and trust others where there is none. */
function pemsIn(path: string, kind: "CERTIFICATE" | "X509 CRL", what: string): string[] | undefined {
  const text = readIfThere(path, what);
  if (text === undefined) return undefined;
  const found = text.match(new RegExp(`-----BEGIN ${kind}-----[^-]+-----END ${kind}-----`, "g"));
  if (!found) throw new ConnectionLostError(`expected ${what} in PEM in ${path}, got none`);
  return found;
}

function assertValid(pem: string, path: string, dateMs: number): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (error) {
    throw new ConnectionLostError(`expected a certificate in PEM in ${path}: ${(error as Error).message}`, { cause: error });
  }
  const { validFrom, validTo } = certificate;
  if (Date.parse(validTo) < dateMs) throw new ConnectionLostError(`the certificate ${path} has expired on ${validTo}: renew it`);
  if (Date.parse(validFrom) > dateMs) throw new ConnectionLostError(`the certificate ${path} is not valid before ${validFrom}: check this machine's clock`);
  return certificate;
}

function assertOwn({ certificate, key }: NonNullable<Credentials["own"]>, places: Places, dateMs: number): void {
  const own = assertValid(certificate, places.certificate, dateMs);
  let matches: boolean;
  try {
    matches = own.checkPrivateKey(createPrivateKey(key));
  } catch (error) {
    throw new ConnectionLostError(`expected a private key in PEM, without a passphrase, in ${places.key}: ${(error as Error).message}`, { cause: error });
  }
  if (!matches) throw new ConnectionLostError(`the key ${places.key} is not the one of the certificate ${places.certificate}`);
}
