/** What a redefinition or a removal does with the disks that a member's definition names. */
import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import fc from "fast-check";
import { memberUuid } from "../../../provider/fleet/members/identity";
import { destroyMember, reconfigureMember } from "../../../provider/hypervisors/libvirt/members/member";
import type { Place } from "../../../provider/hypervisors/libvirt/connection/place";
import { volumeName, type VolumeName, type VolumeScope } from "../../../provider/hypervisors/libvirt/volumes/names";
import { uuidBytes } from "../../../provider/hypervisors/libvirt/look/ownership";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Domain, Pool, Volume } from "../../../provider/hypervisors/libvirt/rpc/handles";
import type { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";
import { tagXml, type MemberTag } from "../../../provider/hypervisors/libvirt/xml/tags";
import { memberXml } from "../../../provider/hypervisors/libvirt/xml/domainXml";
import { all, at, parseXml, text } from "../../../provider/hypervisors/libvirt/xml/xml";
import { attachedFiles } from "../../../provider/hypervisors/libvirt/look/domainDisks";
import type { ReconfigureOrder } from "../../../provider/hypervisors/hypervisor";

const scope: VolumeScope = { fleetId: "f1", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" };
const of = { slot: 3, generation: 1 };
const tag: MemberTag = { purpose: "member", fleetId: "f1", incarnation: "i1", ...of, kind: "linked", contentId: "c1", base: "replica" };
const ours = (name: VolumeName, on: VolumeScope = scope): string => volumeName(on, name);
const delta = ours({ kind: "delta", ...of });
const dataDisk = (label: string, onDelete: "delete" | "keep" = "delete"): string => ours({ kind: "disk", ...of, label, onDelete });
const order: ReconfigureOrder = {
  fleet: { fleetId: "f1", incarnation: "i1", namePrefix: "w" }, host: "a1", slot: 3, name: "w-003", kind: "linked", generation: 1,
  contentId: "c1", autostart: false, vm: { hardware: "defaults", numCpus: 2, memory: 64, networks: [], disks: [], own: { hypervisor: "libvirt", domainType: "qemu", arch: "x86_64" } },
};

const noMachine = () => Promise.resolve(undefined);

/** Calls that change a host. */
const CHANGES = ["createVolume", "deleteVolume", "resizeVolume", "defineDomain", "undefineDomain"];

/** A host with one member, stopped, that has these files as its disks. */
class OneMember {
  readonly defined: string[] = [];
  readonly removed: string[] = [];
  undefined = false;
  private readonly domain: Domain = { name: "w-003", id: -1, uuid: uuidBytes(memberUuid("f1", 3)) };
  private readonly volumes: Map<string, string | undefined>;

  /** Changes of the host until the provider dies. */
  dies = { after: Infinity, when: "before" as "before" | "after" };
  changes = 0;

  /** @param others that its definition does not name */
  constructor(private readonly files: readonly string[], backing: Readonly<Record<string, string>> = {}, others: readonly string[] = []) {
    this.volumes = new Map([...files, ...others].map((file) => [file, backing[file]]));
  }

  private readonly calls = {
    clock: realClock,
    lookupDomain: () => Promise.resolve(this.undefined ? null : this.domain),
    listDomains: (which = 0) => Promise.resolve(which === 0 && !this.undefined ? [this.domain] : []),
    getMetadata: () => Promise.resolve(tagXml(tag)),
    domainState: () => Promise.resolve(5),
    domainXml: () => Promise.resolve(`<domain><devices>${this.files.map((file, at) => `<disk type='file' device='disk'><source file='/pool/${file}'/><target dev='vd${"abcdefg"[at]}'/></disk>`).join("")}</devices></domain>`),
    hasManagedSave: () => Promise.resolve(false),
    defineDomain: (xml: string) => Promise.resolve(void this.defined.push(xml)),
    undefineDomain: () => Promise.resolve(void (this.undefined = true)),
    setAutostart: () => Promise.resolve(),
    refreshPool: () => Promise.resolve(),
    poolIsActive: () => Promise.resolve(true),
    listActivePools: () => Promise.resolve([{ name: "default" }]),
    listVolumes: () => Promise.resolve([...this.volumes.keys()].map(volumeOf)),
    lookupVolumeByPath: () => Promise.resolve(null),
    listPools: () => Promise.resolve([]),
    lookupVolume: (_pool: Pool, name: string) => Promise.resolve(this.volumes.has(name) ? volumeOf(name) : null),
    createVolume: (_pool: Pool, xml: string) => {
      const name = /<name>(.*?)<\/name>/.exec(xml)![1]!;
      this.volumes.set(name, undefined);
      return Promise.resolve(volumeOf(name));
    },
    volumeXml: ({ name }: Volume) => {
      const backing = this.volumes.get(name);
      const isMark = name.includes(".pending.");
      return Promise.resolve(`<volume><name>${name}</name><capacity>${isMark ? 1 : 1 << 30}</capacity><target><path>/pool/${name}</path><format type='${isMark ? "raw" : "qcow2"}'/></target>${backing === undefined ? "" : `<backingStore><path>/pool/${backing}</path></backingStore>`}</volume>`);
    },
    resizeVolume: () => Promise.resolve(),
    deleteVolume: ({ name }: Volume) => {
      this.removed.push(name);
      this.volumes.delete(name);
      return Promise.resolve();
    },
  };
  private readonly client = new Proxy(this.calls as unknown as Record<string, unknown>, {
    get: (calls, name) => (!CHANGES.includes(String(name)) ? calls[String(name)] : async (...given: unknown[]) => {
      const isLast = ++this.changes === this.dies.after;
      if (isLast && this.dies.when === "before") throw new Error("killed");
      const answer = await (calls[String(name)] as (...given: unknown[]) => unknown)(...given);
      if (isLast) throw new Error("killed");
      return answer;
    }),
  }) as unknown as LibvirtClient;
  readonly place: Place = {
    scope,
    session: {
      name: "a1", pool: () => Promise.resolve({ pool: { name: "default" }, type: "dir", path: "/pool" }),
      run: (_what: string, work: (client: LibvirtClient) => unknown) => Promise.resolve(work(this.client)),
    } as unknown as HostSession,
  };

  left(): string[] {
    return [...this.volumes.keys()].sort();
  }
}
const volumeOf = (name: string): Volume => ({ pool: "default", name, key: `/pool/${name}` });

describe("a member's disks", () => {
  const label = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/);
  const disks = fc.uniqueArray(fc.record({ label, onDelete: fc.constantFrom("delete" as const, "keep" as const) }), { selector: (disk) => disk.label, maxLength: 4 });

  it("are all there after a change, whatever their labels are", async () => {
    await fc.assert(fc.asyncProperty(disks, async (made) => {
      const files = [delta, ...made.map((disk) => dataDisk(disk.label, disk.onDelete))];
      const host = new OneMember(files);
      await reconfigureMember(order, host.place, noMachine);
      assert.deepEqual(host.defined.map(attachedFiles), [files]);
      assert.deepEqual(host.removed, []);
    }), { examples: [[[{ label: "data.1", onDelete: "delete" }]], [[{ label: "x.qcow2", onDelete: "keep" }]]], numRuns: 50 });
  });

  it("go with it as they were made to, whatever their labels are", async () => {
    await fc.assert(fc.asyncProperty(disks, async (made) => {
      const host = new OneMember([delta, ...made.map((disk) => dataDisk(disk.label, disk.onDelete))]);
      await destroyMember({ ...order, shutdownMs: 0 }, host.place);
      assert.deepEqual(host.left(), made.filter((disk) => disk.onDelete === "keep").map((disk) => dataDisk(disk.label, "keep")).sort());
    }), { examples: [[[{ label: "data.1", onDelete: "delete" }]]], numRuns: 50 });
  });

  it("that were kept of an earlier member of the slot are the member's own: they stay in a change, and when it goes", async () => {
    const earlier = ours({ kind: "disk", slot: 3, generation: 0, label: "data", onDelete: "keep" });
    const host = new OneMember([delta, earlier, dataDisk("log")]);
    await reconfigureMember(order, host.place, noMachine);
    assert.deepEqual(host.defined.map(attachedFiles), [[delta, earlier, dataDisk("log")]]);
    await destroyMember({ ...order, shutdownMs: 0 }, host.place);
    assert.deepEqual(host.left(), [earlier]);
  });

  it("that are to be kept outlive the member though a killed run left their marks, whichever member they were made for, and the marks go", async () => {
    for (const generation of [0, 1]) {
      const [disk, mark] = [ours({ kind: "disk", slot: 3, generation, label: "data", onDelete: "keep" }), ours({ kind: "pending", slot: 3, generation, label: "data" })];
      const host = new OneMember([delta, disk], {}, [mark]);
      await destroyMember({ ...order, shutdownMs: 0 }, host.place);
      assert.deepEqual(host.left(), [disk]);
    }
  });

  it("of an earlier member of the slot that were to go with it are no member's, and nor are another slot's", async () => {
    const others = [ours({ kind: "disk", slot: 3, generation: 0, label: "data", onDelete: "delete" }), ours({ kind: "disk", slot: 4, generation: 0, label: "data", onDelete: "keep" }), ours({ kind: "disk", slot: 3, generation: 2, label: "data", onDelete: "keep" })];
    const host = new OneMember([delta, ...others]);
    await reconfigureMember(order, host.place, noMachine);
    assert.deepEqual(host.defined.map(attachedFiles), [[delta]]);
    await destroyMember({ ...order, shutdownMs: 0 }, host.place);
    assert.deepEqual(host.left(), [...others].sort());
  });

  const kept = ours({ kind: "disk", slot: 3, generation: 0, label: "data", onDelete: "keep" });
  const given: ReconfigureOrder = {
    ...order, reattach: [{ label: "data", disk: kept }],
    vm: { ...order.vm, disks: [{ label: "data", sizeBytes: 2 ** 31, onDelete: "keep", reattach: true }, { label: "log", sizeBytes: 1 << 20, onDelete: "delete" }] },
  };
  const isMarked = (host: OneMember): boolean => host.left().some((name) => name === ours({ kind: "pending", slot: 3, generation: 0, label: "data" }));
  /** Each change of the host that a run can die before or after, until there are no more. */
  async function dying(host: () => OneMember, run: (host: OneMember) => Promise<void>, look: (host: OneMember) => void): Promise<number> {
    for (let after = 1; ; after++) {
      for (const when of ["before", "after"] as const) {
        const one = host();
        one.dies = { after, when };
        const error = await run(one).then(() => undefined, (e: Error) => e);
        if (!error) return after - 1;
        assert.equal(error.message, "killed");
        look(one);
      }
    }
  }

  it("that are given again are there and bear no mark at whichever change the run dies, when the member is made and when it goes", async () => {
    const fresh = (): OneMember => {
      const host = new OneMember([delta, kept]);
      host.undefined = true;
      return host;
    };
    const isSafe = (host: OneMember): void => assert.deepEqual([host.left().includes(kept), isMarked(host)], [true, false]);
    const made = await dying(fresh, (host) => reconfigureMember(given, host.place, noMachine), isSafe);
    const gone = await dying(() => new OneMember([delta, kept, dataDisk("log")]), (host) => destroyMember({ ...order, shutdownMs: 0 }, host.place), isSafe);
    assert.ok(made >= 4 && gone >= 4, `${made} and ${gone} changes`);
  });

  for (const [why, change, backing] of [
    ["is another slot's", { reattach: [{ label: "data", disk: ours({ kind: "disk", slot: 4, generation: 0, label: "data", onDelete: "keep" }) }] }, {}],
    ["went with its member", { reattach: [{ label: "data", disk: ours({ kind: "disk", slot: 3, generation: 0, label: "data", onDelete: "delete" }) }] }, {}],
    ["is of a later member", { reattach: [{ label: "data", disk: ours({ kind: "disk", slot: 3, generation: 2, label: "data", onDelete: "keep" }) }] }, {}],
    ["stands on something by now", {}, { [kept]: "base.qcow2" }],
    ["is larger than declared", { vm: { ...given.vm, disks: [{ ...given.vm.disks[0]!, sizeBytes: 1 << 20 }] } }, {}],
  ] as const) {
    it(`that ${why} is given to nobody, and stays as it is`, async () => {
      const host = new OneMember([delta, kept], backing);
      host.undefined = true;
      await assert.rejects(reconfigureMember({ ...given, ...change } as ReconfigureOrder, host.place, noMachine));
      assert.deepEqual([host.defined, host.left()], [[], [delta, kept].sort()]);
    });
  }

  it("keep their names and buses in a change, whatever is declared by now, and new ones get names of their own", () => {
    const xml = memberXml(order, tag, [{ path: "/p/top", format: "qcow2" }], [
      { path: "/p/a", format: "qcow2", label: "a", device: "vdd", bus: "virtio" }, { path: "/p/b", format: "qcow2", label: "b", bus: "scsi" },
      { path: "/p/c", format: "qcow2", label: "c" }, { path: "/p/d", format: "qcow2", label: "d", bus: "sata" }, ...["e", "f", "g", "h"].map((label) => ({ path: `/p/${label}`, format: "qcow2", label, bus: "scsi" as const })),
    ]);
    const devices = at(parseXml(xml), "domain", "devices");
    assert.deepEqual(all(devices, "disk").map((disk) => `${text(disk, "target", "@dev")} ${text(disk, "target", "@bus")}`), [
      "vda virtio", "vdd virtio", "sdc scsi", "vde virtio", "sde sata", "sdf scsi", "sdg scsi", "sdh scsi", "sdi scsi",
    ]);
    assert.deepEqual(all(devices, "controller").map((one) => [text(one, "@type"), text(one, "@index"), text(one, "@model")]), [
      ["usb", undefined, "none"], ["scsi", "0", "virtio-scsi"], ["scsi", "1", "virtio-scsi"],
    ]);
  });

  const data = dataDisk("data");
  const snapshots: [string, string, Record<string, string>][] = [
    ["as libvirt names it", data.replace(/qcow2$/, "snap1"), {}],
    ["that ends as an image does", data.replace(/qcow2$/, "snap1.qcow2"), { [data.replace(/qcow2$/, "snap1.qcow2")]: data }],
    ["of one that was kept of an earlier member", ours({ kind: "disk", slot: 3, generation: 0, label: "data", onDelete: "keep" }).replace(/qcow2$/, "snap1"), {}],
    ["that reads as another disk's name", dataDisk("data-snap"), { [dataDisk("data-snap")]: data }],
  ];
  for (const [what, file, backing] of snapshots) {
    it(`are left as they are where one is a snapshot ${what}`, async () => {
      const host = new OneMember([delta, file], backing);
      await assert.rejects(reconfigureMember(order, host.place, noMachine), /w-003 has the disk .*: merge or remove the snapshot first/);
      await assert.rejects(destroyMember({ ...order, shutdownMs: 0 }, host.place), /merge or remove the snapshot first/);
      assert.deepEqual([host.defined, host.removed, host.undefined, host.left()], [[], [], false, [delta, file].sort()]);
    });
  }

  it("of another host's name are told for what they are, and not for a snapshot", async () => {
    const host = new OneMember([ours({ kind: "delta", ...of }, { ...scope, hostUuid: "2b2b3c4d-0000-0000-0000-000000000000" })]);
    await assert.rejects(reconfigureMember(order, host.place, noMachine), /bears another host's name: it was moved here by hand/);
    await assert.rejects(destroyMember({ ...order, shutdownMs: 0 }, host.place), /bears another host's name: it was moved here by hand/);
    assert.deepEqual([host.defined, host.removed], [[], []]);
  });
});
