/** Pools without room enough, on real daemons: those members become whole that fit, and the user is told why the others did not. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { FleetRefusedError, type Progress } from "../../provider/engine";
import { labInputs, labStatus, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { failureOf as failure, LabRun, type UpOptions } from "./labRun";
import { smallPool, type SmallPool } from "../hypervisors/libvirt/smallPool";

const MIB = 1 << 20;

describe("a pool without room enough", function () {
  this.timeout(120_000);
  let hosts: LabHost[];
  let fleet: LabRun;
  let pool: SmallPool;

  before(async () => { hosts = (await labStatus()).hosts; });
  /** Stopped members of 48 MiB, all of them on the first of these hosts' small pools but one that holds the template. */
  async function onPool(targets: readonly LabHost[], options: Parameters<typeof smallPool>[1], more: Record<string, unknown> = {}): Promise<void> {
    pool = await smallPool(targets, options);
    const inputs = await labInputs({
      dataBytes: 48 * MIB, virtualBytes: 128 * MIB, hosts: [hosts[0]!.name, ...targets.map(({ name }) => name)],
      inputs: { powerOn: false, connectTimeout: 3, stallTimeout: 2, retries: 2, ...more },
    });
    const names = targets.map(({ name }) => name);
    inputs.hosts = (inputs.hosts as Record<string, unknown>[]).map((h) => (names.includes(String(h.name)) ? { ...h, pool: pool.name } : h));
    fleet = new LabRun(inputs);
  }
  afterEach(async () => {
    await remove().finally(() => pool.remove());
  });

  async function remove(): Promise<void> {
    await fleet.remove();
    assert.equal(await pool.inside(`ls '${pool.path}' | grep vmfleet || true`), "", "nothing of the fleet stays");
  }
  const up = (changes: Record<string, unknown>, onProgress?: UpOptions["onProgress"]) => fleet.up(changes, { onProgress });
  /** Takes room as soon as bytes move. */
  const meanwhile = (script: string) => {
    let begun: Promise<unknown> | undefined;
    return { onProgress: (p: Progress) => { if (p.phase === "clone" && p.bytesDone > 0) begun ??= pool.inside(script); }, done: () => begun };
  };
  const on = (...counts: [LabHost, number][]): Record<string, unknown> => ({
    hosts: (fleet.inputs.hosts as Record<string, unknown>[]).map((h) => ({ ...h, count: counts.find(([{ name }]) => name === h.name)?.[1] ?? 0 })),
  });

  for (const policy of ["relay", "rounds"]) {
    it(`makes the two members of three that fit, by ${policy}, and the third when there is room`, async () => {
      const host = hosts[1]!;
      await onPool([host], { sizeMiB: 200 }, { policy });
      const taken = meanwhile(`fallocate -l 60M '${pool.path}/somebody-else'`);
      const error = await failure(up(on([host, 3]), taken.onProgress));
      await taken.done();
      assert.match(error.message, new RegExp(`storage pool ${pool.name} is full`));
      assert.equal(fleet.state!.members.length, 2, error.message);
      await pool.inside(`rm '${pool.path}/somebody-else'`);
      assert.equal((await up(on([host, 3]))).state.members.length, 3);
    });
  }

  it("says of a reached quota that the pool is full, with others' members whole", async () => {
    const host = hosts[1]!;
    await onPool([host], { sizeMiB: 600, quotaMiB: 80 });
    const error = await failure(up(on([hosts[0]!, 1], [host, 2])));
    assert.match(error.message, new RegExp(`storage pool ${pool.name} is full`));
    assert.deepEqual(fleet.state!.members.map((m) => m.host).sort(), [hosts[0]!.name, host.name]);
  });

  it("fills at a merge: says so, the guest goes on, and the next run completes it", async () => {
    const host = hosts[1]!;
    await onPool([host], { sizeMiB: 260 }, { powerOn: true, keepSeeds: "host" });
    await up(on([host, 1]));
    const { name } = fleet.state!.members[0]!;
    const delta = await pool.inside(`ls '${pool.path}'/*.delta.qcow2`);
    // What a guest would write where its image had nothing.
    const written = "80M 40M";
    await virsh(host, "destroy", name);
    await pool.inside(`qemu-io -f qcow2 -c 'write -P 7 ${written}' '${delta}' >/dev/null`);
    await virsh(host, "start", name);
    await pool.inside(`fallocate -l $(($(stat -f -c '%a*%S' '${pool.path}') - 4194304)) '${pool.path}/somebody-else'`);
    const merged = { ...on([host, 1]), keepSeeds: "none" };
    const error = await failure(up(merged));
    assert.match(error.message, new RegExp(`${name}: consolidate: storage pool ${pool.name} is full`));
    assert.equal((await virsh(host, "domstate", name)).trim(), "running");
    await pool.inside(`rm '${pool.path}/somebody-else'`);
    const { state: after } = await up(merged);
    assert.deepEqual(after.members.map((m) => [m.base, m.state, m.chain.length]), [["consolidated", "running", 1]]);
    await virsh(host, "destroy", name);
    await pool.inside(`qemu-io -f qcow2 -c 'read -P 7 ${written}' '${pool.path}/${after.members[0]!.chain[0]!}' | grep -v 'Pattern verification failed' >/dev/null`);
    assert.equal(await pool.inside(`ls '${pool.path}' | grep delta || true`), "");
  });

  it("that others keep busy keeps an upload that is there, sent once", async () => {
    const host = hosts[0]!;
    await onPool([host], { sizeMiB: 900 });
    const file = `${host.poolDir}/${(fleet.inputs.template as { volume: string }).volume}`;
    fleet.inputs = { ...fleet.inputs, template: { file }, hosts: (fleet.inputs.hosts as Record<string, unknown>[]).slice(0, 1), racks: (fleet.inputs.racks as unknown[]).slice(0, 1) };
    await pool.inside(`fallocate -l 150M '${pool.path}/theirs.raw'`);
    await virsh(host, "pool-refresh", pool.name);
    let ended = false;
    const busy = ["one", "two", "three"].map(async (copy) => {
      while (!ended) {
        await virsh(host, "vol-clone", "theirs.raw", copy, "--pool", pool.name);
        await virsh(host, "vol-delete", copy, "--pool", pool.name);
      }
    });
    try {
      const { summary, state: made } = await up(on([host, 1]));
      assert.equal(made.members.length, 1);
      assert.ok(summary.bytesMoved < 1.5 * 48 * MIB, `${summary.bytesMoved} bytes were sent`);
      const base = await pool.inside(`ls '${pool.path}'/*.base.qcow2`);
      await pool.inside(`qemu-img compare -U '${file}' '${base}' >/dev/null`);
    } finally {
      ended = true;
      await Promise.all(busy);
    }
  });

  it("is refused three members of a compressed template that are small only until they are written", async () => {
    const host = hosts[1]!;
    await onPool([host], { sizeMiB: 64 });
    const from = hosts[0]!;
    const volume = `compressed-${pool.name}.qcow2`;
    // Text of hexadecimal digits: half of it goes when it is compressed.
    const plain = join(from.dataDir, "plain.raw");
    await writeFile(plain, randomBytes(12 * MIB).toString("hex"));
    await pool.inside(`qemu-img convert -O qcow2 -c '${plain}' '${join(from.poolDir, volume)}'; rm '${plain}'`);
    await virsh(from, "pool-refresh", "default");
    try {
      fleet.inputs = { ...fleet.inputs, template: { host: from.name, pool: "default", volume } };
      const error = await failure(up(on([host, 3])));
      assert.ok(error instanceof FleetRefusedError, error.message);
      assert.match(error.message, new RegExp(`hosts\\[1\\]\\.pool: .* free for 3 new members, got "${pool.name}"`));
      assert.equal(await pool.inside(`ls '${pool.path}' | grep -v lost.found || true`), "");
    } finally {
      await virsh(from, "vol-delete", volume, "default");
    }
  });

  it("counts once what two hosts share, and refuses before anything is touched", async () => {
    const [one, other] = [hosts[1]!, hosts[2]!];
    await onPool([one, other], { sizeMiB: 120 });
    const both = on([one, 1], [other, 1]);
    const before = await pool.inside(`ls '${pool.path}'`);
    const error = await failure(up(on([one, 2], [other, 2])));
    assert.ok(error instanceof FleetRefusedError, error.message);
    assert.match(error.message, new RegExp(`hosts\\[1\\]\\.pool: .* 4 new members on ${one.name}, ${other.name} together, which share it`));
    assert.equal(await pool.inside(`ls '${pool.path}'`), before);
    const made = await up(both);
    assert.equal(made.state.members.length, 2);
    assert.equal((await up(both)).plan.cleanup.length, 0, "neither is the other's leftover");
    for (const member of made.state.members) {
      const host = hosts.find(({ name }) => name === member.host)!;
      assert.equal((await virsh(host, "domstate", member.name)).trim(), "shut off");
    }
  });
});
