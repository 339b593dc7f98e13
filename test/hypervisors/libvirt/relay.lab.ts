/** Cut-through copies on real daemons: who carries what, and what a death on the way costs. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf, slotName } from "../../../provider/fleet";
import type { FleetSpec, Image } from "../../../provider/fleet/model";
import { SourceLostError, type CallContext, type CloneResult, type FleetIdentity, type ImageRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt, type Libvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, LAB_NAME, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;
const DATA = 96 * MIB;

describe("relays between real hosts", function () {
  this.timeout(120_000);
  let hosts: LabHost[];
  let spec: FleetSpec;
  let hv: Libvirt;
  let fleet: FleetIdentity;
  let image: Image;
  let templatePath: string;

  before(async () => {
    hosts = (await labStatus()).hosts;
    const inputs = await labInputs({ dataBytes: DATA, virtualBytes: 256 * MIB });
    spec = specOf({ ...inputs, count: 1, stallTimeout: 2 });
    templatePath = join(hosts[0]!.poolDir, (inputs.template as { volume: string }).volume);
  });
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "relay" };
    hv = createLibvirt({ spec });
    const seen = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "relay", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    image = imageOf(seen.template!);
  });
  afterEach(async () => {
    await hv.close();
    await lab.until(async () => (await Promise.all(hosts.map(inventory))).every((i) => !i.domains.some((d) => d.includes(fleet.fleetId))), { what: "helpers to go" });
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
    }
  });

  const template = (): ImageRef => ({ kind: "template", host: hosts[0]!.name });
  const base = (i: number, slot = i) => ({ kind: "base", host: hosts[i]!.name, slot, generation: 0, name: slotName("relay", slot) }) as const;
  const hop = (source: ImageRef, i: number, context: CallContext = {}, slot = i): Promise<CloneResult> =>
    hv.clone({ fleet, image, source, target: base(i, slot) }, context);
  const made = async (i: number): Promise<string[]> =>
    (await readdir(hosts[i]!.poolDir)).filter((name) => name.includes(fleet.fleetId) && name.endsWith(".qcow2")).map((name) => join(hosts[i]!.poolDir, name));
  async function assertIdentical(...indices: number[]): Promise<void> {
    for (const i of indices) {
      const files = await made(i);
      assert.ok(files.length > 0);
      for (const file of files) {
        await run("qemu-img", ["compare", "-U", file, templatePath]);
        await run("qemu-img", ["check", file]);
        assert.doesNotMatch((await run("qemu-img", ["info", file])).stdout, /backing file/);
      }
    }
  }
  const received = async (i: number) => (await lab.nicBytes(hosts[i]!)).rx;
  const sentBy = async (i: number) => (await lab.nicBytes(hosts[i]!)).tx;
  /** The QEMU of a helper on a host, by the lab's own books. */
  async function helperPid(i: number): Promise<number> {
    const dir = join(hosts[i]!.runDir, "run", "qemu");
    const [file] = (await readdir(dir)).filter((name) => name.startsWith("vmfleet-helper") && name.endsWith(".pid"));
    return Number(await readFile(join(dir, file!), "utf8"));
  }

  it("carries the image once into and once out of each host, every copy whole", async () => {
    const before = await Promise.all([0, 1, 2, 3].map(async (i) => [await sentBy(i), await received(i)] as const));
    await Promise.all([hop(template(), 1), hop(base(1), 2), hop(base(2), 3)]);
    const after = await Promise.all([0, 1, 2, 3].map(async (i) => [await sentBy(i), await received(i)] as const));
    for (let i = 0; i < 4; i++) {
      const [sent, got] = [after[i]![0] - before[i]![0], after[i]![1] - before[i]![1]];
      const once = (bytes: number): boolean => bytes > DATA * 0.99 && bytes < DATA * 1.1;
      assert.ok(i === 3 ? sent < DATA * 0.1 : once(sent), `${hosts[i]!.name} sent ${sent}`);
      assert.ok(i === 0 ? got < DATA * 0.1 : once(got), `${hosts[i]!.name} received ${got}`);
    }
    await assertIdentical(1, 2, 3);
  });

  it("fills further copies on a host from the one that is arriving there", async () => {
    const before = await received(1);
    await Promise.all([hop(template(), 1), hop(base(1), 1, {}, 11), hop(base(1, 11), 1, {}, 12)]);
    assert.ok((await received(1)) - before < DATA * 1.1);
    assert.equal((await made(1)).length, 3);
    await assertIdentical(1);
  });

  it("keeps none waiting but the feeder of a slow host, not who feeds that one", async () => {
    const slow = { ...spec, hosts: spec.hosts.map((host, i) => (i === 3 ? { ...host, transferRateBitsPerSecond: 8e7 } : host)) };
    const limited = createLibvirt({ spec: slow });
    try {
      const order = (source: ImageRef, i: number, context: CallContext = {}) =>
        limited.clone({ fleet, image, source, target: base(i) }, context);
      let arrived = 0;
      const first = order(template(), 1).then(() => arrived);
      const rest = [order(base(1), 2), order(base(2), 3, { onProgress: (done) => { arrived = done; } })];
      assert.ok(await first < DATA * 0.8, `it ended when the slow host had ${arrived} of ${DATA} bytes`);
      await Promise.all(rest);
      await assertIdentical(1, 2, 3);
    } finally {
      await limited.close();
    }
  });

  for (const [how, end] of [
    ["is killed", async () => { process.kill(await helperPid(1), "SIGKILL"); await lab.killHost({ name: LAB_NAME, host: hosts[1]!.name }); return () => lab.startDaemon({ name: LAB_NAME, host: hosts[1]!.name }); }],
    ["loses its link", async () => { await lab.setLink({ name: LAB_NAME, host: hosts[1]!.name, up: false }); return () => lab.setLink({ name: LAB_NAME, host: hosts[1]!.name, up: true }); }],
  ] as const) {
    it(`goes on from another source when the middle host ${how}, and fetches next to nothing twice`, async () => {
      const before = [await received(2), await received(3)];
      let cut: Promise<() => Promise<unknown>> | undefined;
      const results = await Promise.allSettled([
        hop(template(), 1),
        hop(base(1), 2, {
          onProgress: (done) => { if (done > DATA / 2) cut ??= end(); },
          onSourceLost: (error) => Promise.resolve(error.sourceHost === hosts[1]!.name ? template() : null),
        }),
        hop(base(2), 3, { onSourceLost: () => Promise.resolve(null) }),
      ]);
      await (await cut!)();
      assert.equal(results[0].status, "rejected");
      for (const r of results.slice(1)) if (r.status === "rejected") throw r.reason;
      await assertIdentical(2, 3);
      const again = [(await received(2)) - before[0]! - DATA, (await received(3)) - before[1]! - DATA];
      for (const bytes of again) assert.ok(bytes < DATA * 0.08, `${bytes} bytes more than the image arrived`);
      assert.equal((results[2] as PromiseFulfilledResult<CloneResult>).value.bytesResent, 0, "the hop behind never changed its source");
    });
  }

  it("reads from nothing that a failed hop left, neither while it fails nor after", async () => {
    let cut: Promise<unknown> | undefined;
    const results = await Promise.allSettled([
      hop(template(), 1, { onProgress: (done) => { if (done > DATA / 3) cut ??= lab.setLink({ name: LAB_NAME, host: hosts[0]!.name, up: false }); } }),
      hop(base(1), 2),
    ]);
    await cut;
    await lab.setLink({ name: LAB_NAME, host: hosts[0]!.name, up: true });
    assert.deepEqual(results.map((r) => r.status), ["rejected", "rejected"]);
    assert.equal((await made(1)).length, 1, "what had arrived stays");
    await assert.rejects(hop(base(1), 3), SourceLostError);
    const other = createLibvirt({ spec });
    try {
      await assert.rejects(other.clone({ fleet, image, source: base(1), target: base(3) }), SourceLostError, "nor in another run");
    } finally {
      await other.close();
    }
    await hop(template(), 1);
    await hop(base(1), 3);
    await assertIdentical(1, 3);
  });

  it("goes on with what is on disk when a hop's own QEMU is killed", async () => {
    let killed: Promise<void> | undefined;
    const kill = async (): Promise<void> => { process.kill(await helperPid(2), "SIGKILL"); };
    await Promise.all([
      hop(template(), 1),
      hop(base(1), 2, { onProgress: (done) => { if (done > DATA / 2) killed ??= kill(); } }),
      hop(base(2), 3),
    ]);
    assert.ok(killed);
    await assertIdentical(1, 2, 3);
  });

  it("feeds a copy from another source when told to, while it runs", async () => {
    let changed: Promise<void> | undefined;
    const change = (): Promise<void> => hv.abilities.relaying.refeed({ fleet, image, target: base(2), source: template() });
    await Promise.all([hop(template(), 1), hop(base(1), 2, { onProgress: (done) => { if (done > DATA / 3) changed ??= change(); } }), hop(base(2), 3)]);
    await changed;
    await assertIdentical(1, 2, 3);
  });

  it("fails, with nothing left but what the next run goes on from, when no other source is to be had", async () => {
    let cut: Promise<unknown> | undefined;
    const results = await Promise.allSettled([
      hop(template(), 1),
      hop(base(1), 2, { onProgress: (done) => { if (done > DATA / 4) cut ??= lab.killHost({ name: LAB_NAME, host: hosts[1]!.name }); }, onSourceLost: () => Promise.resolve(null) }),
      hop(base(2), 3, { onSourceLost: () => Promise.resolve(null) }),
    ]);
    await cut;
    await lab.startDaemon({ name: LAB_NAME, host: hosts[1]!.name });
    assert.deepEqual(results.map((r) => r.status), ["rejected", "rejected", "rejected"]);
    for (const i of [2, 3]) {
      const own = (await inventory(hosts[i]!)).volumes.filter((name) => name.includes(fleet.fleetId));
      assert.deepEqual(own.map((name) => name.split(".")[4]), ["arriving", "base"]);
    }
  });
});
