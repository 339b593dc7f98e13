/** Certificates for TLS, for lab hosts: those of NBD by libvirt's names, and any other. */
import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const openssl = (...args: string[]) => run("openssl", args);
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

export interface Certificate {
  key: string;
  cert: string;
  usage: "serverAuth" | "clientAuth";
  /** As OpenSSL writes alternative names, such as `IP:10.0.0.1` and `DNS:a1`. */
  names: string[];
  /** -1: it has expired. @default 2 */
  days?: number;
}

export interface Authority {
  cert: string;
  issue(into: string, address: string): Promise<void>;
  sign(certificate: Certificate): Promise<void>;
  /** A list of revocations that names this certificate. */
  revoke(cert: string, into: string): Promise<void>;
}

/**
 * A certificate authority of its own in this directory.
 * @param above which vouches for it. @default nobody but itself
 */
export async function makeAuthority(dir: string, name: string, above?: string): Promise<Authority> {
  await mkdir(dir, { recursive: true });
  const [key, cert] = [join(dir, "ca-key.pem"), join(dir, "ca-cert.pem")];
  const by = above === undefined ? [] : ["-CA", join(above, "ca-cert.pem"), "-CAkey", join(above, "ca-key.pem")];
  await openssl("req", "-x509", ...by, ...KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", `/CN=${name}`,
    "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign");
  async function sign({ key: own, cert: made, usage, names, days = 2 }: Certificate): Promise<void> {
    const [request, extensions] = [join(dir, "request.pem"), join(dir, "extensions.cnf")];
    await writeFile(extensions, `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=${usage}\nsubjectAltName=${names.join(",")}\n`);
    await openssl("req", ...KEY, "-keyout", own, "-out", request, "-subj", `/CN=${names[0]!.replace(/^\w+:/, "")}`);
    await openssl("x509", "-req", "-in", request, "-CA", cert, "-CAkey", key, "-CAcreateserial", "-out", made, "-days", String(days), "-extfile", extensions);
    await chmod(own, 0o644);
  }
  return {
    cert,
    sign,
    async revoke(revoked, into) {
      const config = join(dir, "ca.cnf");
      await writeFile(config, `[ca]\ndefault_ca=own\n[own]\ndatabase=${join(dir, "index.txt")}\ncrlnumber=${join(dir, "crlnumber")}\ndefault_md=sha256\ndefault_crl_days=2\n`);
      await writeFile(join(dir, "index.txt"), "");
      await writeFile(join(dir, "crlnumber"), "01\n");
      const of = ["-config", config, "-cert", cert, "-keyfile", key];
      await openssl("ca", ...of, "-revoke", revoked);
      await openssl("ca", ...of, "-gencrl", "-out", into);
    },
    /** A server's and a client's certificate for a host, readable by whoever runs QEMU there. */
    async issue(into, address) {
      await mkdir(into, { recursive: true });
      await chmod(into, 0o755);
      for (const [end, usage] of [["server", "serverAuth"], ["client", "clientAuth"]] as const) {
        await sign({ key: join(into, `${end}-key.pem`), cert: join(into, `${end}-cert.pem`), usage, names: [`IP:${address}`] });
      }
      await run("cp", [cert, join(into, "ca-cert.pem")]);
    },
  };
}
