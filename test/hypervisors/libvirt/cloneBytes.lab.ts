/** What a clone writes, from an image's tables, beside what qemu-img says of the same image. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, open, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cloneBytes, type Layer } from "../../../provider/hypervisors/libvirt/qcow2/cloneBytes";
import { readImageHeader } from "../../../provider/hypervisors/libvirt/qcow2/imageHeader";
import { random } from "../../random";
import { run } from "./templateLab";

const KIB = 1 << 10;
const MIB = 1 << 20;
const CLUSTER = 64 * KIB;
/** Of the clone. */
const TABLES = 5 * CLUSTER;
const CAPACITY = 40 * MIB + 512;

const LAYOUTS: Record<string, string[]> = {
  "as QEMU makes them": [],
  "of version 2": ["-o", "compat=0.10"],
  "of clusters of 512 bytes": ["-o", "cluster_size=512"],
  "of clusters of 4 KiB": ["-o", "cluster_size=4k"],
  "of clusters of 2 MiB": ["-o", "cluster_size=2M"],
  "of subclusters": ["-o", "extended_l2=on,cluster_size=128k"],
  "of small subclusters": ["-o", "extended_l2=on,cluster_size=16k"],
  "compressed by zlib": ["-c"],
  "compressed by zstd": ["-c", "-o", "compression_type=zstd"],
  "compressed in clusters of 4 KiB": ["-c", "-o", "cluster_size=4k"],
  "compressed in clusters of 2 MiB": ["-c", "-o", "cluster_size=2M"],
  "compressed, of subclusters": ["-c", "-o", "extended_l2=on"],
  "with lazy counts of 64 bits": ["-o", "lazy_refcounts=on,refcount_bits=64"],
  "all set aside on the disk": ["-o", "preallocation=falloc"],
};

describe("what a clone writes", function () {
  this.timeout(60_000);
  let dir: string;
  let raw: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "vmfleet-images-"));
    raw = join(dir, "raw.img");
    const next = random(16);
    await writeFile(raw, "");
    await truncate(raw, CAPACITY);
    const file = await open(raw, "r+");
    for (let i = 0; i < 25; i++) {
      const text = Buffer.from(randomBytes(512 * (1 + Math.floor(next() * 300))).toString("hex"));
      await file.write(text, 0, Math.min(text.length, CAPACITY), 512 * Math.floor(next() * ((CAPACITY - text.length) / 512)));
    }
    await file.close();
  });
  after(async () => { await rm(dir, { recursive: true, force: true }); });

  /** Of a chain, first what the guest sees. */
  async function ours(...paths: string[]): Promise<number> {
    const handles = await Promise.all(paths.map((path) => open(path)));
    try {
      const layers = await Promise.all(handles.map(async (handle): Promise<Layer> => {
        const { size, blocks } = await handle.stat();
        const read = async (at: number, length: number): Promise<Buffer> => {
          const buffer = Buffer.alloc(length);
          return buffer.subarray(0, (await handle.read(buffer, 0, length, at)).bytesRead);
        };
        return { header: await readImageHeader(read, size), read, fileBytes: size, allocationBytes: blocks * 512 };
      }));
      return (await cloneBytes(layers, { mostBytes: 64 * MIB })).bytes;
    } finally {
      for (const handle of handles) await handle.close();
    }
  }
  /** Of the clone's clusters those that hold data, by qemu-img map. */
  async function mapped(path: string): Promise<number> {
    const { stdout } = await run("qemu-img", ["map", "--output=json", path], { maxBuffer: 1 << 26 });
    const clusters = new Set<number>();
    for (const { start, length, data, zero } of JSON.parse(stdout) as { start: number; length: number; data: boolean; zero: boolean }[]) {
      if (data && !zero) for (let at = Math.floor(start / CLUSTER); at < Math.ceil((start + length) / CLUSTER); at++) clusters.add(at);
    }
    return Math.min(CAPACITY, clusters.size * CLUSTER);
  }
  async function agrees(path: string, what: string): Promise<void> {
    assert.equal(await ours(path) - TABLES, await mapped(path), `${what}: by qemu-img map`);
    const { required } = JSON.parse((await run("qemu-img", ["measure", "--output=json", "-O", "qcow2", path])).stdout) as { required: number };
    // Its rounding is of stretches, ours of the clone's clusters.
    assert.ok(required <= await ours(path) + CLUSTER && await ours(path) < required + 60 * CLUSTER, `${what}: qemu-img measure says ${required}, we ${await ours(path)}`);
  }

  for (const [name, options] of Object.entries(LAYOUTS)) {
    it(`of images ${name} is what qemu-img says, written to, zeroed, discarded and snapshotted`, async () => {
      const path = join(dir, "image.qcow2");
      await run("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", ...options, raw, path]);
      await agrees(path, "as made");
      const next = random(17);
      const commands = [...Array(12).keys()].flatMap((i) => {
        const length = 512 * (1 + Math.floor(next() * 600));
        const at = 512 * Math.floor(next() * ((CAPACITY - length) / 512));
        const verb = [`write -P ${i + 1}`, "write -z", "discard"][i % 3]!;
        return ["-c", `${verb} ${at} ${length}`];
      });
      await run("qemu-img", ["snapshot", "-c", "before", path]);
      await run("qemu-io", ["-d", "unmap", ...commands, path]);
      if (!options.includes("compat=0.10")) await run("qemu-img", ["bitmap", "--add", path, "changes"]);
      // Of parts of a large cluster that were never written QEMU asks the file system, and we cannot.
      if (options.includes("cluster_size=2M")) assert.ok(await ours(path) - TABLES >= await mapped(path));
      else await agrees(path, "changed");
    });
  }

  it("of a chain is what qemu-img says of it", async () => {
    const [base, top] = [join(dir, "base.qcow2"), join(dir, "top.qcow2")];
    await run("qemu-img", ["convert", "-c", "-f", "raw", "-O", "qcow2", raw, base]);
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top]);
    await run("qemu-io", ["-c", "write -P 3 1M 3M", "-c", "write -z 8M 8M", "-c", "write -P 4 39M 1M", top]);
    assert.equal(await ours(top, base) - TABLES, await mapped(top));
  });

  it("of an image whose clusters are only set aside is about what was written to it", async () => {
    const path = join(dir, "aside.qcow2");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", path, String(CAPACITY)]);
    await run("qemu-io", ["-c", "write -P 1 3M 5M", "-c", "write -P 2 20M 1M", path]);
    const said = await ours(path);
    assert.ok(said >= 6 * MIB && said < 7.5 * MIB, `${said} for ${(await stat(path)).blocks * 512} on the disk`);
  });
});
