/** Templates as real daemons have them: what they are, who writes them, what they stand on, and what a clone of them holds. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { copyFile, mkdir, readFile, stat, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageOf } from "../../../provider/fleet";
import { TemplateChangedError } from "../../../provider/hypervisors/hypervisor";
import { labStatus, virsh } from "./labFleet";
import { fileDisk, run, TemplateGround, volumeDisk, type Sight } from "./templateLab";

const MIB = 1 << 20;
const qemuImg = (...args: string[]): Promise<unknown> => run("qemu-img", args);

describe("a template on a host", function () {
  this.timeout(90_000);
  let ground: TemplateGround;
  beforeEach(async () => { ground = await TemplateGround.make(); });
  afterEach(async () => { await ground?.clear(); });

  /** 8 MiB with 1 MiB of random data. */
  async function image(path: string, ...options: string[]): Promise<string> {
    const raw = ground.path(`raw-${path.split("/").at(-1)!}`, "/tmp");
    await writeFile(raw, randomBytes(MIB));
    await truncate(raw, 8 * MIB);
    await qemuImg("convert", "-f", "raw", "-O", "qcow2", ...options, raw, path);
    return path;
  }
  const refused = (sight: Sight, path: string, says: RegExp): void => {
    assert.equal(sight.template, undefined, JSON.stringify(sight.template));
    assert.equal(sight.problem?.path, path, sight.problem?.message);
    assert.match(sight.problem.message, says);
  };
  const taken = (sight: Sight): NonNullable<Sight["template"]> => {
    assert.ok(sight.template, sight.problem?.message);
    return sight.template;
  };

  it("keeps the content id that it always had", async () => {
    const path = await image(ground.path("plain.qcow2"));
    await ground.refresh();
    const seen = taken(await ground.look(ground.volume(path)));
    const facts = await virsh(ground.host, "vol-dumpxml", ground.volume(path).volume!, "default");
    const mtime = /<mtime>([^<]*)</.exec(facts)![1]!;
    assert.equal(seen.contentId, createHash("sha256").update([ground.host.uuid, path, String(8 * MIB), mtime].join("\0")).digest("hex"));
    assert.deepEqual([seen.disks[0]!.format, seen.disks[0]!.capacityBytes, seen.disks[0]!.bytes], ["qcow2", 8 * MIB, MIB + 5 * 65_536]);
  });

  it("is copied as what its domain says it is: a guest that writes a header into its raw disk reads no file of the host", async () => {
    const secret = ground.path("secret", ground.host.dataDir);
    await writeFile(secret, Buffer.alloc(MIB, "ROOT-ONLY-"), { mode: 0o600 });
    const disk = ground.path("guest.img");
    await qemuImg("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", disk, "1M");
    await truncate(disk, 4 * MIB);
    await ground.refresh();
    refused(await ground.look(ground.volume(disk)), "template.volume", /an overlay of .*secret, which no active storage pool of the host has/);
    const domain = await ground.define("victim", fileDisk(disk, "raw"));
    for (const template of [ground.domain("victim"), ground.volume(disk)]) {
      const seen = taken(await ground.look(template));
      assert.deepEqual([seen.disks[0]!.format, seen.disks[0]!.capacityBytes], ["raw", 4 * MIB]);
    }
    for (const where of ["here", "there"] as const) {
      const { path } = await ground.clone(ground.domain("victim"), where);
      await qemuImg("compare", "-f", "raw", "-F", "qcow2", disk, path);
    }
    assert.equal((await stat(secret)).uid, 0, "it stays root's");
    // And where the guest names a disk of somebody else's, which is in a pool.
    const foreign = await image(ground.path("other.qcow2"));
    await ground.define("other", fileDisk(foreign, "qcow2"));
    await virsh(ground.host, "undefine", domain);
    await qemuImg("create", "-q", "-f", "qcow2", "-b", foreign, "-F", "qcow2", disk);
    await ground.refresh();
    refused(await ground.look(ground.volume(disk)), "template.volume", /the disk of the domain .*-other, and a guest could have written that name/);
    await ground.define("victim", fileDisk(disk, "qcow2"));
    taken(await ground.look(ground.volume(disk)));
  });

  it("is refused by one sentence where it is no image that can be copied, as a volume and as a file", async () => {
    const raw = ground.path("raw.img");
    await writeFile(raw, randomBytes(MIB));
    const at = (offset: number, bytes: string): Buffer => {
      const file = Buffer.alloc(64 << 10);
      file.write(bytes, offset, "latin1");
      return file;
    };
    const made: [string, RegExp][] = [];
    const make = async (name: string, says: RegExp, how: (path: string) => Promise<unknown>): Promise<void> => {
      const path = ground.path(name);
      await how(path);
      made.push([path, says]);
    };
    const converted = (format: string, ...more: string[]) => (path: string): Promise<unknown> => qemuImg("convert", "-f", "raw", "-O", format, ...more, raw, path);
    const patched = (offset: number, value: number) => async (path: string): Promise<void> => {
      await converted("qcow2")(path);
      const file = openSync(path, "r+");
      writeSync(file, Buffer.from([value]), 0, 1, offset);
      closeSync(file);
    };
    await make("a.vmdk", /a VMDK image: convert it first/, converted("vmdk"));
    await make("a.vdi", /a VDI image/, converted("vdi"));
    await make("a.vhdx", /a VHDX image/, converted("vhdx"));
    await make("a.vhd", /a VHD image/, converted("vpc"));
    await make("fixed.vhd", /a VHD image/, converted("vpc", "-o", "subformat=fixed,force_size"));
    await make("a.qed", /a QED image/, converted("qed"));
    await make("old.qcow", /old qcow format/, converted("qcow"));
    await make("a.img.gz", /compressed by gzip: decompress it first/, (path) => writeFile(path, at(0, "\x1f\x8b\x08")));
    await make("a.iso", /a CD image \(ISO 9660\), not a disk/, (path) => writeFile(path, at(32_768, "\x01CD001")));
    await make("luks.img", /a LUKS container, which no member could open/, (path) => writeFile(path, at(0, "LUKS\xba\xbe\0\x01")));
    await make("luks.qcow2", /encrypted with LUKS/, patched(35, 2));
    await make("datafile.qcow2", /whose data stands in another file/, (path) => qemuImg("create", "-q", "-f", "qcow2", "-o", `data_file=${ground.path("data.raw")}`, path, "1M"));
    await make("dirty.qcow2", /not closed in order.*qemu-img check -r all/, patched(79, 1));
    await make("corrupt.qcow2", /marked as corrupt/, patched(79, 2));
    await make("future.qcow2", /not known here \(incompatible feature 9\)/, patched(78, 2));
    await make("version.qcow2", /version 4, of which only 2 and 3 are known/, patched(7, 4));
    await make("half.qcow2", /ends before its data does: download or copy it again/, async (path) => {
      await converted("qcow2")(path);
      await truncate(path, Math.floor((await stat(path)).size / 2));
    });
    await ground.refresh();
    for (const [path, says] of made) {
      refused(await ground.look(ground.volume(path)), "template.volume", says);
      refused(await ground.look({ file: path }), "template.file", says);
    }
    const directory = ground.path("a.directory");
    await mkdir(directory);
    await ground.refresh();
    refused(await ground.look(ground.volume(directory)), "template.volume", /a directory, not a file/);
    // A guest's own disk, whatever it holds: its domain says so.
    for (const name of ["luks.img", "a.iso", "a.vmdk"]) {
      await ground.define(`own-${name}`, fileDisk(ground.path(name), "raw"));
      assert.equal(taken(await ground.look(ground.domain(`own-${name}`))).disks[0]!.format, "raw");
    }
  });

  it("that stands on others is all of them: copied as one, another one once any of them is written", async () => {
    const { pool, directory } = await ground.pool("second");
    const bottom = ground.path("bottom.img", directory);
    await writeFile(bottom, randomBytes(MIB));
    await truncate(bottom, 8 * MIB);
    const middle = ground.path("middle.qcow2");
    const top = ground.path("top.qcow2");
    await qemuImg("create", "-q", "-f", "qcow2", "-b", bottom, "-F", "raw", middle);
    await qemuImg("create", "-q", "-f", "qcow2", "-b", middle.split("/").at(-1)!, "-F", "qcow2", top);
    await run("qemu-io", ["-c", "write -P 5 2M 1M", "-c", "write -z 0 512k", middle]);
    await run("qemu-io", ["-c", "write -P 6 2560k 1M", "-c", "flush", top]);
    // None of the pools has seen its files yet.
    const first = taken(await ground.look(ground.volume(top)));
    assert.equal(first.disks[0]!.bytes, 2.5 * MIB + 5 * 65_536, "one and a half of the upper two; and what of the raw one shows through, nothing tells");
    const copies = [await ground.clone(ground.volume(top)), await ground.clone(ground.volume(top), "there")];
    for (const { path } of copies) await qemuImg("compare", top, path);
    await run("qemu-io", ["-f", "raw", "-c", "write -P 9 7M 64k", bottom]);
    const second = taken(await ground.look(ground.volume(top)));
    assert.notEqual(second.contentId, first.contentId);
    // A running guest writes to one of them.
    const writer = await ground.define("writer", volumeDisk(pool, bottom.split("/").at(-1)!, "raw"));
    refused(await ground.look(ground.volume(top)), "template.volume", /the disk of the domain .*-writer, and a guest/);
    await virsh(ground.host, "start", writer);
    refused(await ground.look(ground.volume(top)), "template.volume", /the running domain .*-writer on a1 has .*bottom\.img, on which it stands/);
  });

  it("that stands on what its header does not tell whole is refused with the way out", async () => {
    const base = await image(ground.path("base.qcow2"));
    const overlay = ground.path("overlay.qcow2");
    await qemuImg("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay);
    await ground.refresh();
    taken(await ground.look(ground.volume(overlay)));
    const header = await readFile(overlay);
    header.writeUInt32BE(0, header.indexOf(Buffer.from("e2792aca", "hex")));
    await writeFile(overlay, header);
    refused(await ground.look(ground.volume(overlay)), "template.volume", /does not say of which format its backing file .* is: write it there \(qemu-img rebase -u/);
    await qemuImg("rebase", "-u", "-b", `nbd://127.0.0.1:1/x`, "-F", "raw", overlay);
    refused(await ground.look(ground.volume(overlay)), "template.volume", /which is no plain file: flatten it first/);
    await qemuImg("rebase", "-u", "-b", overlay, "-F", "qcow2", overlay);
    refused(await ground.look(ground.volume(overlay)), "template.volume", /stands on itself/);
    await qemuImg("rebase", "-u", "-b", base, "-F", "qcow2", overlay);
    await ground.define("says", fileDisk(overlay, "qcow2", "<backingStore/>"));
    refused(await ground.look(ground.domain("says")), "template.domain", /stands on .*base\.qcow2 by its header, and on nothing by the domain's definition/);
  });

  it("that a domain writes, or will where its saved state goes on, is refused by the domain's name", async () => {
    const golden = await image(ground.path("golden.qcow2"));
    await ground.refresh();
    const look = (): Promise<Sight> => ground.look(ground.volume(golden));
    const says = (domain: string, more = ""): RegExp => new RegExp(`the running domain ${domain} on a1 has it${more}: shut it down`);

    const byVolume = await ground.define("by-volume", volumeDisk("default", golden.split("/").at(-1)!, "qcow2"));
    taken(await look());
    await virsh(ground.host, "start", byVolume);
    refused(await look(), "template.volume", says(byVolume));
    await virsh(ground.host, "managedsave", byVolume);
    refused(await look(), "template.volume", /the saved state of the domain .*-by-volume on a1 has it: start it and shut it down/);
    refused(await ground.look(ground.domain("by-volume")), "template.domain", /has a saved state, and half of what it wrote is in there/);
    await virsh(ground.host, "managedsave-remove", byVolume);
    taken(await ground.look(ground.domain("by-volume")));

    const alias = ground.path("alias", ground.host.dataDir);
    await symlink(ground.host.poolDir, alias);
    const byAlias = await ground.define("by-alias", fileDisk(join(alias, golden.split("/").at(-1)!), "qcow2"));
    await virsh(ground.host, "start", byAlias);
    refused(await look(), "template.volume", new RegExp(`the running domain ${byAlias} on a1 has .*, of the same name and size, which may be the same file: shut it down, or rename`));
    await virsh(ground.host, "destroy", byAlias);

    // A namesake elsewhere, in use, is another file.
    const { directory } = await ground.pool("namesakes");
    const namesake = join(directory, golden.split("/").at(-1)!);
    await copyFile(golden, namesake);
    const stranger = await ground.define("stranger", fileDisk(namesake, "qcow2"));
    await virsh(ground.host, "start", stranger);
    taken(await look());

    // What a running domain stands on is only read; what is merged into it, or copied to, is written.
    const over = ground.path("over.qcow2");
    await qemuImg("create", "-q", "-f", "qcow2", "-b", golden, "-F", "qcow2", over);
    const upper = await ground.define("upper", fileDisk(over, "qcow2"));
    await virsh(ground.host, "start", upper);
    taken(await look());
    await virsh(ground.host, "blockcommit", upper, "vda", "--active");
    refused(await look(), "template.volume", says(upper, " merged into \\(a block commit\\)"));
    await virsh(ground.host, "destroy", upper);
    await virsh(ground.host, "blockcopy", stranger, "vda", golden, "--reuse-external", "--transient-job");
    refused(await look(), "template.volume", says(stranger, " as the target of a block copy"));
  });

  it("is found as its domain names it, and where it came without the daemon", async () => {
    const { pool, directory } = await ground.pool("late");
    const golden = await image(ground.path("golden.qcow2"));
    const elsewhere = ground.path("golden2.qcow2", directory);
    await copyFile(golden, elsewhere);
    taken(await ground.look(ground.volume(golden)));
    taken(await ground.look(ground.volume(elsewhere, pool)));
    await ground.define("by-volume", volumeDisk("default", golden.split("/").at(-1)!, "qcow2"));
    taken(await ground.look(ground.domain("by-volume")));
    const third = ground.path("golden3.qcow2", directory);
    await copyFile(golden, third);
    await ground.define("by-file", fileDisk(third, "qcow2"));
    taken(await ground.look(ground.domain("by-file")));
    // A snapshot makes a file that its pool has not seen, and a chain.
    const domain = await ground.define("snapped", fileDisk(golden, "qcow2"));
    ground.path("golden.s1");
    await virsh(ground.host, "snapshot-create-as", domain, "s1", "--disk-only");
    const snapped = taken(await ground.look(ground.domain("snapped")));
    assert.equal(snapped.disks[0]!.bytes, taken(await ground.look(ground.volume(golden))).disks[0]!.bytes);
    refused(await ground.look({ ...ground.volume(golden), volume: "nothing" }), "template.volume", /which it does not have/);

    await ground.define("block", "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/golden'/><target dev='vda' bus='virtio'/></disk>");
    refused(await ground.look(ground.domain("block")), "template.domain", /got the block device \/dev\/vg\/golden: copy it into a pool of files/);
    await ground.define("rbd", "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/golden'><host name='ceph'/></source><target dev='vda' bus='virtio'/></disk>");
    refused(await ground.look(ground.domain("rbd")), "template.domain", /got an image over the network \(rbd pool\/golden\)/);
    await ground.define("outside", fileDisk("/srv/golden.qcow2", "qcow2"));
    refused(await ground.look(ground.domain("outside")), "template.domain", /got \/srv\/golden\.qcow2, whose directory is no pool of a1: make it one/);
    await ground.define("none");
    refused(await ground.look(ground.domain("none")), "template.domain", /the domain has no disk/);

    await virsh(ground.host, "pool-define-as", `${ground.id}-off`, "dir", "--target", ground.host.dataDir);
    try {
      refused(await ground.look({ ...ground.volume(golden), pool: `${ground.id}-off` }), "template.pool", /expected an active storage pool, but .*-off on a1 is not started: virsh pool-start/);
      await ground.define("asleep", fileDisk(join(ground.host.dataDir, "x.qcow2"), "qcow2"));
      refused(await ground.look(ground.domain("asleep")), "template.domain", /is not started: virsh pool-start/);
    } finally {
      await virsh(ground.host, "pool-undefine", `${ground.id}-off`);
    }
  });

  it("is told by what its clones write, though it is compressed", async () => {
    const packed = ground.path("packed.qcow2");
    const raw = ground.path("text.img", "/tmp");
    await writeFile(raw, Buffer.from(randomBytes(3 * MIB).toString("hex")));
    await truncate(raw, 16 * MIB);
    await qemuImg("convert", "-c", "-f", "raw", "-O", "qcow2", raw, packed);
    await ground.refresh();
    const seen = taken(await ground.look(ground.volume(packed)));
    assert.equal(seen.disks[0]!.bytes, 6 * MIB + 5 * 65_536);
    assert.ok((await stat(packed)).blocks * 512 < 4.5 * MIB);
    const { path, bytesMoved } = await ground.clone(ground.volume(packed), "there");
    assert.equal(bytesMoved, seen.disks[0]!.bytes);
    const onDisk = (await stat(path)).blocks * 512;
    assert.ok(onDisk <= seen.disks[0]!.bytes && onDisk > 0.95 * seen.disks[0]!.bytes, `${onDisk} on the disk, ${seen.disks[0]!.bytes} expected`);
    assert.deepEqual(taken(await ground.look({ file: packed })).disks[0]!.bytes, seen.disks[0]!.bytes);
  });

  it("as a local file that is rewritten while it is sent is thrown away, though its size and times are what they were", async () => {
    const file = ground.path("local.img", "/tmp");
    await writeFile(file, randomBytes(48 * MIB));
    const { atime, mtime } = await stat(file);
    const { hv, spec } = ground.hypervisor({ file });
    const { template } = await hv.observe({ fleetId: ground.id, namePrefix: "tpl", hosts: [], spec, deadlineMs: 5_000, preflight: false });
    let isRewritten = false;
    const target = { kind: "replica", purpose: "template", host: ground.host.name, contentId: template!.contentId } as const;
    const order = { fleet: { fleetId: ground.id, incarnation: "one", namePrefix: "tpl" }, image: imageOf(template!), source: { kind: "template", host: null }, target } as const;
    const uploading = hv.clone(order, {
      onProgress: () => {
        if (isRewritten) return;
        isRewritten = true;
        const handle = openSync(file, "r+");
        writeSync(handle, Buffer.alloc(MIB, 7), 0, MIB, 46 * MIB);
        closeSync(handle);
        void utimes(file, atime, mtime);
      },
    });
    await assert.rejects(uploading, (error: Error) => error instanceof TemplateChangedError && /changed while it was uploaded/.test(error.message));
    assert.ok(isRewritten);
    const left = await run("find", [(await labStatus()).hosts[0]!.poolDir, "-name", `vmfleet-${ground.id}*`]);
    assert.equal(left.stdout, "");
  });
});
