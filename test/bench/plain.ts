/**
 * What everything is held against: the bytes that one clone moves, sent from file to file by nc, which knows nothing of
 * QEMU or libvirt.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { execIn, run, until } from "../lab";
import type { Lab, LabHost } from "../lab/lab.mjs";

/** Outside the hosts' transferPorts. */
const PORT = 7999;
const DD_TIMEOUT_MS = 600_000;

export class PlainCopies {
  constructor(private readonly lab: Lab, private readonly bytes: number) {}

  private readonly source = (host: LabHost): string => join(host.dataDir, "bench-source.raw");
  private readonly copied = (host: LabHost): string => join(host.dataDir, "bench-copy.raw");

  /** Random bytes on the first host, which sends. */
  async prepare(): Promise<void> {
    const [first] = this.lab.hosts;
    await run([
      "dd", "if=/dev/urandom", `of=${this.source(first!)}`, "bs=1M", "iflag=count_bytes,fullblock", `count=${this.bytes}`, "status=none",
    ], { timeoutMs: DD_TIMEOUT_MS });
    await run(["sync", "-f", this.source(first!)], { timeoutMs: DD_TIMEOUT_MS });
  }

  /** Seconds from the sender's start to the receiver's end. */
  async copy(from: LabHost, to: LabHost): Promise<number> {
    await rm(this.copied(to), { force: true });
    const receiver = execIn(to, ["sh", "-c", 'exec nc -l "$1" "$2" > "$3"', "sh", to.address, String(PORT), this.copied(to)], { timeoutMs: DD_TIMEOUT_MS });
    receiver.catch(() => undefined); // awaited below; the wait in between may fail first
    await until(async () => (await execIn(to, ["ss", "-Hltn", `sport = :${PORT}`])).trim() !== "", { what: `nc on ${to.name}`, everyMs: 20 });
    const startMs = performance.now();
    const sender = execIn(from, ["sh", "-c", 'exec nc -N "$1" "$2" < "$3"', "sh", to.address, String(PORT), this.source(from)], { timeoutMs: DD_TIMEOUT_MS });
    await Promise.all([sender, receiver]);
    const seconds = (performance.now() - startMs) / 1000;
    await rm(this.copied(to));
    return seconds;
  }

  async remove(): Promise<void> {
    for (const host of this.lab.hosts) {
      for (const file of [this.source(host), this.copied(host)]) await rm(file, { force: true });
    }
  }
}
