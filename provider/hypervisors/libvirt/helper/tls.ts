import { HypervisorError } from "../../hypervisor";
import { QmpError } from "../rpc/errors";

/** Files by libvirt's convention for nbd_tls: what each end of a copy needs, in one directory. */
const FILES = {
  server: ["ca-cert.pem", "server-cert.pem", "server-key.pem"],
  client: ["ca-cert.pem", "client-cert.pem", "client-key.pem"],
} as const;

export type TlsEnd = keyof typeof FILES;

/** A host's QEMU cannot use its certificates: another source does not help, and there is no copy without TLS. */
export class TransferTlsError extends HypervisorError {}

/**
 * Loads a helper's certificates from the first directory that has usable ones. Both ends verify each other.
 * @returns the id of the credentials, for `tls-creds`
 * @throws TransferTlsError naming the host, the directories and what QEMU said of each
 */
export async function loadCredentials(
  host: string, end: TlsEnd, directories: readonly string[], qmp: (command: string, args: Record<string, unknown>) => Promise<unknown>,
): Promise<string> {
  const id = `vmfleet-tls-${end}`;
  const said: string[] = [];
  for (const dir of directories) {
    try {
      await qmp("object-add", { "qom-type": "tls-creds-x509", id, dir, endpoint: end, "verify-peer": true });
      return id;
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      said.push(error.description);
    }
  }
  const [first, ...more] = FILES[end];
  throw new TransferTlsError(
    host, "transferTls", `expected ${first}, ${more.join(" and ")} that the user QEMU runs as can read, in ${directories.join(" or ")} of ${host}; QEMU says: ${said.join("; ")}`,
  );
}

/** A handshake that fails says little at the end that notices. */
export const tlsAdvice = (server: string, address: string, client: string): string =>
  `; over TLS (transferTls): the certificate of ${server} must name ${address}, and ${client} needs client-cert.pem and client-key.pem of the same CA`;
