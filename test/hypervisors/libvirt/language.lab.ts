/** Daemons that answer in Chinese: wherever something is decided by an error, the same is decided as in English. */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { imageOf, slotName } from "../../../provider/fleet";
import type { FleetSpec, Image, ReachableHost } from "../../../provider/fleet/model";
import { ForeignNameError, NoSpaceError, type FleetIdentity, type Hypervisor, type MemberRef } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { helperXml } from "../../../provider/hypervisors/libvirt/xml/domainXml";
import { createHelper } from "../../../provider/hypervisors/libvirt/helper/helper";
import { volumeName } from "../../../provider/hypervisors/libvirt/volumes/names";
import { DISK_DEVICE } from "../../../provider/hypervisors/libvirt/helper/nodes";
import { isLibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { ErrorCode } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";
import { ensureVolume } from "../../../provider/hypervisors/libvirt/volumes/volumes";
import { freshFleetId, lab, LAB_NAME, labSpec, labStatus, virsh, type LabHost } from "./labFleet";
import { smallPool } from "./smallPool";

const LANGUAGE = "zh_CN.UTF-8";

describe("daemons that answer in another language", function () {
  this.timeout(90_000);
  let host: LabHost;
  let spec: FleetSpec;
  let hv: Hypervisor;
  let session: HostSession;
  let fleet: FleetIdentity;
  let image: Image;
  let ownLanguage: string;

  before(async () => {
    [{ language: ownLanguage }] = (await labStatus()).hosts as [LabHost];
    await lab.setLanguage({ name: LAB_NAME, language: LANGUAGE });
    [host] = (await labStatus()).hosts as [LabHost];
    spec = await labSpec({ hosts: [host.name], dataBytes: 8 << 20 });
  });
  after(() => lab.setLanguage({ name: LAB_NAME, language: ownLanguage }));
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "lang" };
    hv = createLibvirt({ spec });
    session = new HostSession(spec.hosts[0]!, { callTimeoutMs: 30_000, connectTimeoutMs: 5_000, allowUnauthenticatedTcp: true });
    image = (await look(false)).image;
  });
  afterEach(async () => {
    await hv.destroy({ kind: "member", ...ref(0), shutdownMs: 0 });
    await hv.close();
    await session.close();
  });

  const name = (): string => slotName(`lang-${fleet.fleetId}`, 0);
  const ref = (slot: number): MemberRef => ({ fleet, host: host.name, slot, name: name(), generation: 0 });
  const base = () => ({ kind: "base", host: host.name, slot: 0, generation: 0, name: name() }) as const;
  const look = async (preflight: boolean): Promise<{ host: ReachableHost; image: Image }> => {
    const { hosts, template } = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "lang", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight });
    return { host: hosts[0] as ReachableHost, image: imageOf(template!) };
  };
  const clone = (with_: Hypervisor) => with_.clone({ fleet, image, source: { kind: "template", host: host.name }, target: base() });
  const define = () => hv.reconfigure({
    fleet, host: host.name, slot: 0, name: name(), kind: "full", generation: 0, contentId: image.contentId, vm: spec.vm, autostart: false,
  });

  it("do so", async () => {
    await assert.rejects(session.run("ask", (client) => client.domainCapabilities("x86_64", "nonsense")), /[\u4e00-\u9fff]/);
  });

  it("give the lock to one after the other of those that want it", async () => {
    for (let round = 0; round < 3; round++) {
      const fleetId = freshFleetId();
      let holders = 0;
      await Promise.all(["one", "two", "three"].map(async (holder) => {
        const mine = createLibvirt({ spec });
        const lock = await mine.lock({ fleetId, hosts: spec.hosts, holder, timeoutMs: 20_000 });
        assert.equal(++holders, 1);
        await new Promise((resolve) => setTimeout(resolve, 400 * Math.random())); // a run's work
        holders--;
        await lock.release();
        await mine.close();
      }));
    }
  });

  it("merge a running guest's disk, and say by their code that a job is not yet ready for its pivot", async () => {
    await clone(hv);
    await hv.snapshot({ fleet, host: host.name, slot: 0, generation: 0, contentId: image.contentId });
    await define();
    await hv.power({ ...ref(0), to: "running", shutdownMs: 0 });
    await session.run("write", async (client) => {
      const domain = (await client.lookupDomain(name()))!;
      await client.qmp(domain, "human-monitor-command", { "command-line": `qemu-io -d ${DISK_DEVICE} "write -P 7 0 24M"` });
      await virsh(host, "blockcommit", name(), "vda", "--active", "--bandwidth", "1");
      await assert.rejects(client.blockJobPivot(domain, "vda"), (error) => isLibvirtError(error, ErrorCode.blockCopyActive));
      await virsh(host, "blockjob", name(), "vda", "--bandwidth", "0");
    });
    await hv.consolidate(ref(0));
    const [member] = (await look(true)).host.members;
    assert.deepEqual([member!.base, member!.chain.length], ["consolidated", 1]);
  });

  it("say of a full pool that it is full", async () => {
    const small = await smallPool([host], { sizeMiB: 8 });
    const inSmall = createLibvirt({ spec: { ...spec, hosts: [{ ...spec.hosts[0]!, own: { ...spec.hosts[0]!.own, pool: small.name } }] } });
    try {
      await assert.rejects(clone(inSmall), NoSpaceError);
    } finally {
      await inSmall.close();
      await small.remove();
    }
  });

  it("are looked at though a volume vanished, and though a pool that is busy refuses to be refreshed", async () => {
    const file = join(host.poolDir, volumeName({ fleetId: fleet.fleetId, hostUuid: host.uuid }, { kind: "base", slot: 9, generation: 0 }));
    await writeFile(file, "");
    await virsh(host, "pool-refresh", "default");
    await rm(file);
    assert.deepEqual((await look(false)).host.leftovers, []);
    const pool = (await session.pool()).pool;
    const volume = `lang-${fleet.fleetId}`;
    const making = virsh(host, "vol-create-as", "default", volume, "300M", "--allocation", "300M", "--format", "raw");
    assert.equal((await look(true)).host.status, "reachable");
    await making;
    await session.run("again", async (client) => {
      const made = await ensureVolume({ client, pool }, volume, 1, "raw");
      assert.equal(made.name, volume, "a name that is taken is found");
      await client.deleteVolume(made);
    });
  });

  it("leave alone a domain whose name was taken", async () => {
    await session.run("take the name", (client) => client.defineDomain(`<domain type='qemu'><name>${name()}</name><memory>8192</memory><os><type>hvm</type></os></domain>`));
    try {
      await assert.rejects(define(), ForeignNameError);
    } finally {
      await virsh(host, "undefine", name());
    }
  });

  it("start what they can of a helper, where they do not know what it asks for", async () => {
    const tag = { purpose: "helper" as const, fleetId: fleet.fleetId, holder: "test" };
    await session.run("start", async (client) => {
      const start = (wish: string) => createHelper(session, client, (quick) =>
        helperXml(`vmfleet-helper-${fleet.fleetId}.${wish}`, tag, "qemu", "x86_64", [], quick).replace("cpu-unavailable-features", wish));
      const domain = await start("no-such-thing");
      assert.equal(session.startsQuickly, false);
      await client.destroyDomain(domain, 0);
    });
  });
});
