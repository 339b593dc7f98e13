/** Certificates for NBD over TLS, by libvirt's names, for lab hosts. */
import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const openssl = (...args: string[]) => run("openssl", args);
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A certificate authority of its own in this directory. */
export async function makeAuthority(dir: string, name: string): Promise<{ issue(into: string, address: string): Promise<void> }> {
  await mkdir(dir, { recursive: true });
  const [key, cert] = [join(dir, "ca-key.pem"), join(dir, "ca-cert.pem")];
  await openssl("req", "-x509", ...KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", `/CN=${name}`,
    "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign");
  return {
    /** A server's and a client's certificate for a host, readable by whoever runs QEMU there. */
    async issue(into, address) {
      await mkdir(into, { recursive: true });
      await chmod(into, 0o755);
      for (const [end, usage] of [["server", "serverAuth"], ["client", "clientAuth"]] as const) {
        const [own, request, extensions] = [join(into, `${end}-key.pem`), join(dir, "request.pem"), join(dir, "extensions.cnf")];
        await writeFile(extensions, `basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=${usage}\nsubjectAltName=IP:${address}\n`);
        await openssl("req", ...KEY, "-keyout", own, "-out", request, "-subj", `/CN=${address}`);
        await openssl("x509", "-req", "-in", request, "-CA", cert, "-CAkey", key, "-CAcreateserial", "-out", join(into, `${end}-cert.pem`), "-days", "2", "-extfile", extensions);
        await chmod(own, 0o644);
      }
      await run("cp", [cert, join(into, "ca-cert.pem")]);
    },
  };
}
