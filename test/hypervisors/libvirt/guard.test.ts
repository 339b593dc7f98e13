import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { assertUnused, deleteOwnMap, deleteUnused, deleteVolume } from "../../../provider/hypervisors/libvirt/guard/guard";
import type { Here, Place } from "../../../provider/hypervisors/libvirt/connection/place";
import { GuardError } from "../../../provider/hypervisors/libvirt/guard/guardError";
import { volumeName, type VolumeName, type VolumeScope } from "../../../provider/hypervisors/libvirt/volumes/names";
import type { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import type { Domain, Pool, Volume } from "../../../provider/hypervisors/libvirt/rpc/handles";
import { CallTimeoutError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import type { HostSession } from "../../../provider/hypervisors/libvirt/connection/session";
import { removeReplica } from "../../../provider/hypervisors/libvirt/members/removal";
import { TAG_URI } from "../../../provider/hypervisors/libvirt/xml/tags";

const scope: VolumeScope = { fleetId: "fleet", hostUuid: "1a2b3c4d-0000-0000-0000-000000000000" };
const nameOf = (name: VolumeName): string => volumeName(scope, name);
const base = nameOf({ kind: "base", slot: 1, generation: 0 });
const delta = nameOf({ kind: "delta", slot: 1, generation: 0 });
const replica = nameOf({ kind: "replica", contentPrefix: "0123456789abcdef", format: "qcow2" });
const dataDisk = nameOf({ kind: "disk", slot: 1, generation: 0, label: "data-copy", onDelete: "delete" });
const EIO = new LibvirtError(38, 18, "cannot read: Input/output error", 5);
const ENOENT = new LibvirtError(38, 18, "no such file", 2);
const path = (pool: string, volume: string): string => `/pools/${pool}/${volume}`;

interface Facts {
  backing?: string;
  format?: string;
  capacity?: number;
  ctime?: string;
  /** What reading it meets. */
  error?: LibvirtError;
}
interface Machine {
  name: string;
  /** Files it has as disks, while it runs and after. */
  disks: string[];
  running?: boolean;
  metadata?: string;
  unreadable?: boolean;
  readOnly?: boolean;
  hangs?: boolean;
}

/** A host as the guard asks it: pools of volumes, each with what it stands on, and machines. */
class FakeHost {
  readonly pools = new Map<string, Map<string, Facts>>([["default", new Map()], ["other", new Map()]]);
  readonly machines: Machine[] = [];
  looks = 0;
  deleted: string[] = [];
  /** Each with how many volumes were deleted before. */
  ended: [string, number][] = [];
  readonly place: Place = { scope, session: { pool: () => Promise.resolve({ pool: this.pool("default"), type: "dir", path: "/pools/default" }), run: (_what: string, act: (client: LibvirtClient) => Promise<unknown>) => act(this.client) } as unknown as HostSession };

  get here(): Here {
    return { ...this.place, client: this.client, pool: this.pool("default") };
  }

  private readonly pool = (name: string): Pool => ({ name, uuid: Buffer.alloc(16) });
  put(volume: string, facts: Facts = {}, pool = "default"): this {
    this.pools.get(pool)!.set(volume, facts);
    return this;
  }
  has(machine: Machine): this {
    this.machines.push(machine);
    return this;
  }

  readonly client = {
    clock: realClock,
    listDomains: async (which = 0): Promise<Domain[]> => {
      if (which !== 0) return [];
      this.looks++;
      const seen = this.machines.map(({ name, running }) => ({ name, id: running === false ? -1 : 1, uuid: uuidOf(name) }));
      await Promise.resolve();
      return seen;
    },
    domainXml: ({ name }: Domain): Promise<string> => {
      const machine = this.machines.find((one) => one.name === name)!;
      if (machine.unreadable) return Promise.reject(new LibvirtError(68, 10, "cannot acquire state change lock"));
      return Promise.resolve(`<domain><name>${name}</name><metadata>${machine.metadata ?? ""}</metadata><devices>${machine.disks.map((file) => `<disk type='file' device='disk'><source file='${file}'/>${machine.readOnly ? "<readonly/>" : ""}</disk>`).join("")}</devices></domain>`);
    },
    getMetadata: ({ uuid }: Domain) => Promise.resolve(this.machines.find(({ name }) => uuidOf(name).equals(uuid))?.metadata ?? null),
    destroyDomain: ({ uuid }: Domain): Promise<void> => {
      const at = this.machines.findIndex(({ name }) => uuidOf(name).equals(uuid));
      if (this.machines[at]!.hangs) return Promise.reject(new CallTimeoutError("domainDestroyFlags", 1000));
      this.ended.push([this.machines.splice(at, 1)[0]!.name, this.deleted.length]);
      return Promise.resolve();
    },
    refreshPool: () => Promise.resolve(),
    listActivePools: () => Promise.resolve([...this.pools.keys()].map(this.pool)),
    listVolumes: ({ name }: Pool): Promise<Volume[]> => Promise.resolve([...this.pools.get(name)!.keys()].map((volume) => ({ pool: name, name: volume, key: path(name, volume) }))),
    lookupVolume: ({ name }: Pool, volume: string): Promise<Volume | null> => Promise.resolve(this.pools.get(name)!.has(volume) ? { pool: name, name: volume, key: path(name, volume) } : null),
    volumeXml: ({ pool, name }: Volume): Promise<string> => {
      const { backing, format = "qcow2", capacity = 1 << 30, ctime = "", error } = this.pools.get(pool)!.get(name)!;
      if (error) return Promise.reject(error);
      return Promise.resolve(`<volume><name>${name}</name><key>${path(pool, name)}</key><capacity>${capacity}</capacity><target><path>${path(pool, name)}</path><format type='${format}'/><timestamps><ctime>${ctime}</ctime></timestamps></target>${backing === undefined ? "" : `<backingStore><path>${backing}</path></backingStore>`}</volume>`);
    },
    deleteVolume: ({ pool, name }: Volume): Promise<void> => {
      this.deleted.push(name);
      this.pools.get(pool)!.delete(name);
      return Promise.resolve();
    },
  } as unknown as LibvirtClient;

  remove(volume: string): Promise<void> {
    return deleteVolume(this.here, volume);
  }
}
const uuidOf = (name: string): Buffer => Buffer.from(name.padEnd(16).slice(-16));
const helper = (fleetId: string, disks: string[]): Machine => ({ name: `vmfleet-helper-${fleetId}.00aa`, disks, metadata: `<vmfleet:fleet xmlns:vmfleet="${TAG_URI}" purpose="helper" fleetId="${fleetId}"/>` });

describe("the guard", () => {
  it("removes what nobody uses, and has no objection to what is not there", async () => {
    const host = new FakeHost().put(base).has({ name: "other", disks: ["/elsewhere/a.qcow2"] });
    await host.remove(base);
    await host.remove(base);
    assert.deepEqual([host.deleted, host.looks], [[base], 1]);
  });

  const held: [string, (host: FakeHost) => FakeHost, RegExp][] = [
    ["a running machine has", (host) => host.has({ name: "somebody", disks: [path("default", base)] }), /the running domain somebody has it as a disk.*virsh undefine/],
    ["a stopped machine has", (host) => host.has({ name: "somebody", disks: [path("default", base)], running: false }), /the domain somebody has it/],
    ["a machine has by an alias of its path", (host) => host.has({ name: "somebody", disks: [`/mnt/pool/${base}`] }), /somebody/],
    ["a machine may have that cannot be read", (host) => host.has({ name: "hung", disks: [], unreadable: true }), /definition of the domain hung cannot be read/],
    ["an image of somebody's stands on", (host) => host.put("rescue.img", { backing: path("default", base) }), /rescue\.img of the pool default stands on it/],
    ["an image in another pool stands on", (host) => host.put("rescue.img", { backing: path("default", base) }, "other"), /rescue\.img of the pool other stands on it/],
    ["a stopped member stands on with its delta", (host) => host.put(delta, { backing: path("default", base) }).has({ name: "w-001", disks: [path("default", delta)], running: false }), /w-001/],
    ["somebody's snapshot of our delta stands on", (host) => host.put(delta, { backing: path("default", base) }).put("w-001.snap", { backing: path("default", delta) }), /w-001\.snap/],
    ["a copy of our delta in another pool stands on", (host) => host.put(delta, { backing: path("default", base), ctime: "1.1" }).put(delta, { backing: path("default", base), ctime: "2.2" }, "other"), /of the pool other stands on it/],
    ["a disk in another pool that is called as our delta stands on", (host) => host.put(delta, { backing: path("default", base) }, "other"), /of the pool other stands on it/],
    ["somebody's image stands on that is called as a data disk of ours", (host) => host.put(dataDisk, { backing: path("default", base) }), /data-copy\.qcow2 of the pool default stands on it/],
    ["an image of somebody's may stand on that cannot be read", (host) => host.put("broken.img", { error: EIO }), /broken\.img of the pool default cannot be read, so nobody can say/],
    ["a machine's disk of ours may stand on that cannot be read", (host) => host.put(delta, { error: EIO }).has({ name: "w-001", disks: [path("default", delta)], running: false }), /w-001/],
    ["another fleet's helper has", (host) => host.has(helper("other", [path("default", base)])), /vmfleet-helper-other/],
    ["somebody's machine has that is called as our helpers are", (host) => host.has({ name: "vmfleet-helper-fleet.0", disks: [path("default", base)] }), /vmfleet-helper-fleet/],
  ];
  for (const [what, arrange, says] of held) {
    it(`leaves what ${what}`, async () => {
      const host = arrange(new FakeHost().put(base));
      await assert.rejects(host.remove(base), (error: Error) => error instanceof GuardError && says.test(error.message));
      assert.deepEqual(host.deleted, []);
    });
  }

  it("does not count helpers of our own, overlays of ours that no machine has, or the machine that asks", async () => {
    const host = new FakeHost().put(base).put(delta, { backing: path("default", base) }).has(helper("fleet", [path("default", base)]));
    await host.remove(base);
    assert.deepEqual(host.deleted, [base]);
    const asking = new FakeHost().put(base).put(delta, { backing: path("default", base) }).has({ name: "w-001", disks: [path("default", delta)] });
    await assertUnused(asking.here, [base, delta], uuidOf("w-001"));
    await assert.rejects(assertUnused(asking.here, [base, delta], uuidOf("w-002")), GuardError);
  });

  it("ends a helper of ours that still writes to what is removed, first, and none that only reads it", async () => {
    const writer = helper("fleet", [path("default", base)]);
    const reader = { ...helper("fleet", [path("default", base)]), name: "vmfleet-helper-fleet.00bb", readOnly: true };
    const host = new FakeHost().put(base).has(writer).has(reader);
    await host.remove(base);
    assert.deepEqual([host.ended, host.deleted], [[[writer.name, 0]], [base]]);
    const hung = new FakeHost().put(base).has({ ...writer, hangs: true });
    await assert.rejects(hung.remove(base), CallTimeoutError);
    assert.deepEqual(hung.deleted, []);
  });

  it("removes a member's images by one look, those that somebody uses staying, and looks again when that takes long", async () => {
    const early = nameOf({ kind: "early", slot: 1, generation: 0 });
    const disk = nameOf({ kind: "disk", slot: 1, generation: 0, label: "data", onDelete: "delete" });
    const arrange = (): FakeHost => new FakeHost().put(base).put(delta, { backing: path("default", base) }).put(early).put(disk).has({ name: "somebody", disks: [path("default", disk)] });
    const host = arrange();
    const staying = await deleteUnused(host.here, [early, delta, base, disk]);
    assert.deepEqual([host.deleted, [...staying.keys()], host.looks], [[early, delta, base], [disk], 1]);
    assert.match(staying.get(disk)!.message, /somebody/);
    const slow = arrange();
    let now = 0;
    await deleteUnused(slow.here, [early, delta, base], () => (now += 800));
    assert.deepEqual([slow.deleted, slow.looks], [[early, delta, base], 2]);
  });

  it("removes a replica only when no overlay of ours stands on it, with a machine on this host or without", async () => {
    const complete = nameOf({ kind: "complete", of: "replica", contentId: "0123456789abcdef" });
    const order = { kind: "replica" as const, fleet: { fleetId: "fleet", incarnation: "one", namePrefix: "w" }, host: "a1", contentId: "0123456789abcdef", purpose: "replica" as const };
    for (const kind of ["delta", "early"] as const) {
      const over = nameOf({ kind, slot: 1, generation: 0 });
      const host = new FakeHost().put(replica).put(complete, { format: "raw", capacity: 1 }).put(over, { backing: path("default", replica) });
      await assert.rejects(removeReplica(order, host.place), (error: Error) => error instanceof GuardError && error.message.includes(`${over} of the pool default stands on it`));
      assert.deepEqual(host.deleted, [], "nor its mark");
      await host.remove(over);
      await removeReplica(order, host.place);
      assert.deepEqual(host.deleted, [over, complete, replica]);
    }
  });

  it("does not count the same leftover by way of another pool, what is gone meanwhile, a leftover that cannot be read, or a broken pool of somebody's", async () => {
    const host = new FakeHost().put(base).put(delta, { backing: path("default", base), ctime: "1.1" }).put(delta, { backing: path("default", base), ctime: "1.1" }, "other")
      .put("gone.img", { error: ENOENT }).put("vanished.img", { error: new LibvirtError(50, 18, "no storage vol") }).put("broken.img", { error: EIO }, "other")
      .put(nameOf({ kind: "early", slot: 1, generation: 0 }), { error: EIO });
    await host.remove(base);
    assert.deepEqual(host.deleted, [base]);
  });

  it("lets what cannot be read be removed itself", async () => {
    const host = new FakeHost().put(delta, { error: EIO });
    await host.remove(delta);
    assert.deepEqual(host.deleted, [delta]);
  });

  it("ends where images stand on each other", async () => {
    const host = new FakeHost().put(replica).put(delta, { backing: path("default", nameOf({ kind: "early", slot: 1, generation: 0 })) })
      .put(nameOf({ kind: "early", slot: 1, generation: 0 }), { backing: path("default", delta) });
    await host.remove(replica);
    await assert.rejects(host.remove(delta), /stand on each other/);
  });

  it("never removes what does not bear our name, nor a file of a mark's name that is none", async () => {
    const complete = nameOf({ kind: "complete", of: "replica", contentId: "ab" });
    const host = new FakeHost().put("golden.qcow2").put(complete, { format: "raw", capacity: 1 << 20 });
    await assert.rejects(host.remove("golden.qcow2"), /no volume of this fleet/);
    await assert.rejects(host.remove(complete), /larger than a mark/);
    await assert.rejects(deleteOwnMap(host.here, base), /no map/);
    host.put(complete, { format: "raw", capacity: 1 });
    await host.remove(complete);
    assert.deepEqual([host.deleted, host.looks], [[complete], 0], "a mark needs no look around");
  });

  it("looks once for all who ask together, and never at what was so before they asked", async () => {
    const host = new FakeHost();
    const names = Array.from({ length: 50 }, (_, slot) => nameOf({ kind: "base", slot, generation: 0 }));
    for (const name of names) host.put(name);
    const late = nameOf({ kind: "base", slot: 99, generation: 0 });
    host.put(late);
    const all = Promise.all(names.map((name) => host.remove(name)));
    while (host.looks === 0) await Promise.resolve();
    host.has({ name: "somebody", disks: [path("default", late)] }); // the look under way has its list already
    await assert.rejects(host.remove(late), GuardError);
    await all;
    assert.equal(host.deleted.length, 50);
    assert.ok(host.looks <= 3, `${host.looks} looks`);
  });

  it("removes exactly what nothing leads to, over any heap of images and machines", async () => {
    const kinds = ["base", "delta", "early"] as const;
    const ours = kinds.flatMap((kind) => [0, 1].map((slot) => nameOf({ kind, slot, generation: 0 }))).concat(replica);
    const theirs = ["a.img", "b.img", "c.img"];
    const any = fc.constantFrom(...ours, ...theirs);
    await fc.assert(fc.asyncProperty(fc.array(fc.tuple(any, any), { maxLength: 10 }), fc.array(fc.tuple(any, fc.boolean()), { maxLength: 4 }), fc.constantFrom(...ours), async (edges, machines, target) => {
      const host = new FakeHost();
      const on = new Map(edges.filter(([over, under]) => over < under)); // no loops
      for (const name of [...ours, ...theirs]) host.put(name, on.has(name) && (theirs.includes(name) || /delta|early/.test(name)) ? { backing: path("default", on.get(name)!) } : {});
      machines.forEach(([disk, running], index) => host.has({ name: `m${index}`, disks: [path("default", disk)], running }));
      const isUsed = (name: string): boolean => machines.some(([disk]) => disk === name)
        || [...on].some(([over, under]) => under === name && (theirs.includes(over) || (/delta|early/.test(over) && isUsed(over))));
      const expected = isUsed(target);
      const removed = await host.remove(target).then(() => true, (error: unknown) => {
        assert.ok(error instanceof GuardError, String(error));
        return false;
      });
      assert.equal(removed, !expected);
    }), { numRuns: 300 });
  });

  it("is the only way to the calls that take something away", () => {
    const folder = join(__dirname, "../../../provider/hypervisors/libvirt");
    // What the same expression has made under a name of chance nobody else can have.
    const source = (file: string): string => readFileSync(join(folder, file), "utf8").replaceAll("client.deleteVolume(await client.createVolume(", "");
    const files = (readdirSync(folder, { recursive: true }) as string[]).filter((file) => file.endsWith(".ts") && !file.startsWith("rpc/"));
    assert.ok(files.length > 40);
    const callers = (call: RegExp): string[] => files.filter((file) => call.test(source(file))).sort();
    assert.deepEqual(callers(/\bclient\.deleteVolume\(/), ["guard/guard.ts"]);
    assert.deepEqual(callers(/\.deleteVolume\(/), ["guard/guard.ts"]);
    assert.deepEqual(callers(/\.undefineDomain\(/), ["members/member.ts"]);
    assert.deepEqual(callers(/\.shutdownDomain\(/), ["members/member.ts"]);
  });
});
