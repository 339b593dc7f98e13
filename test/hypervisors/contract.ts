/**
 * What every adapter of the port promises, as one suite. An adapter's own test calls `hypervisorContract` with a way to
 * set up a world; what the simulator is shown to do here, the real ones are shown to do too.
 */
import assert from "node:assert/strict";
import { guestIdentity, imageOf } from "../../provider/fleet";
import { memberMacs } from "../../provider/fleet/members/addresses";
import { memberUuid } from "../../provider/fleet/members/identity";
import type { FleetSpec, Image, Observation, ObservedMember, ReachableHost } from "../../provider/fleet/model";
import {
  ForeignNameError, LockTimeoutError,
  type Abilities, type CloneTarget, type FleetIdentity, type Hypervisor, type ImageRef, type MemberRef, type ReconfigureOrder,
} from "../../provider/hypervisors/hypervisor";
import { abilityContracts } from "./contractAbilities";

/** A set of hosts to try an adapter on. The suite makes fleets of its own there and removes them. */
export interface ContractWorld {
  hypervisor: Hypervisor;
  /** A second client of the same hosts, as another run of the provider would have. */
  second(): Promise<Hypervisor>;
  /** At least two hosts; the template is a volume on the first. */
  spec: FleetSpec;
  /** A fleet id never used before. */
  freshFleetId(): string;
  /** Puts a domain of this name, without any tag of ours, on the host. Absent: that test is left out. */
  putForeign?(host: string, name: string): Promise<void>;
  close(): Promise<void>;
}

export interface ContractOptions {
  /** That the adapter has. */
  abilities: readonly (keyof Abilities)[];
  /** Of one test. @default mocha's own */
  timeoutMs?: number;
}

export function hypervisorContract(name: string, setup: () => Promise<ContractWorld>, options: ContractOptions): void {
  describe(`${name} keeps the hypervisor contract`, function () {
    if (options.timeoutMs !== undefined) this.timeout(options.timeoutMs);
    let world: ContractWorld;
    let hv: Hypervisor;
    let fleet: FleetIdentity;
    let image: Image;
    let contentId: string;
    let first: string;
    let second: string;

    before(async () => {
      world = await setup();
      hv = world.hypervisor;
      first = world.spec.hosts[0]!.name;
      second = world.spec.hosts[1]!.name;
    });
    after(async () => { await world?.close(); });
    beforeEach(async () => {
      fleet = { fleetId: world.freshFleetId(), incarnation: "one", namePrefix: world.spec.namePrefix };
      image = imageOf((await observe()).template!);
      ({ contentId } = image);
    });
    afterEach(async () => { await wipe(); });

    // ---- vocabulary of the tests

    const observe = (fleetId = fleet.fleetId): Promise<Observation> => hv.observe({
      fleetId, namePrefix: fleet.namePrefix, hosts: world.spec.hosts, spec: world.spec,
      deadlineMs: world.spec.timeouts.callMs, preflight: true,
    });
    const hostOf = (observation: Observation, host: string): ReachableHost => {
      const found = observation.hosts.find((h) => h.name === host);
      assert.equal(found?.status, "reachable", `${host} answers`);
      return found as ReachableHost;
    };
    const look = async (host: string) => hostOf(await observe(), host);
    const template = (): ImageRef => ({ kind: "template", host: first });
    const slotName = (slot: number) => `${fleet.namePrefix}-${String(slot).padStart(3, "0")}`;
    const base = (host: string, slot: number) => ({ kind: "base", host, slot, generation: 0, name: slotName(slot) }) as const;
    const replica = (host: string) => ({ kind: "replica", purpose: "replica", host, contentId }) as const;
    const ref = (host: string, slot: number): MemberRef => ({ fleet, host, slot, name: slotName(slot), generation: 0 });
    const clone = (source: ImageRef, target: CloneTarget) => hv.clone({ fleet, image, source, target });
    const definition = (host: string, slot: number, kind: "full" | "linked", vm: Partial<FleetSpec["vm"]> = {}): ReconfigureOrder => ({
      fleet, host, slot, kind, contentId, name: slotName(slot), generation: 0, autostart: false, vm: { ...world.spec.vm, ...vm },
    });
    const define = (...of: Parameters<typeof definition>) => hv.reconfigure(definition(...of));
    const makeFull = async (host: string, slot: number, source = template()) => {
      await clone(source, base(host, slot));
      await hv.snapshot({ fleet, host, slot, generation: 0, contentId });
      await define(host, slot, "full");
    };
    const power = (host: string, slot: number, to: "running" | "stopped") => (
      hv.power({ ...ref(host, slot), to, shutdownMs: 0 })
    );
    const destroy = (host: string, slot: number) => hv.destroy({ kind: "member", ...ref(host, slot), shutdownMs: 0 });
    const only = (members: ObservedMember[]): ObservedMember => {
      assert.equal(members.length, 1);
      return members[0]!;
    };
    /** Everything of the test's fleet, wherever it stands. */
    const wipe = async () => {
      for (const host of (await observe()).hosts) {
        if (host.status !== "reachable") continue;
        for (const m of host.members) {
          await hv.destroy({ kind: "member", fleet, host: host.name, slot: m.slot, name: m.name, generation: m.generation, shutdownMs: 0 });
        }
        for (const leftover of host.leftovers) await hv.destroy({ kind: "leftover", fleet, host: host.name, leftover });
        for (const r of host.replicas) {
          await hv.destroy({ kind: "replica", fleet, host: host.name, contentId: r.contentId, purpose: r.purpose });
        }
      }
    };

    // ---- looking

    it("shows every host, fit and empty, and the template", async () => {
      const seen = await observe();
      assert.deepEqual(seen.hosts.map((h) => h.name), world.spec.hosts.map((h) => h.name));
      for (const { name: host } of world.spec.hosts) {
        const { uuid, members, replicas, leftovers, problems, room } = hostOf(seen, host);
        assert.deepEqual({ members, replicas, leftovers, problems }, { members: [], replicas: [], leftovers: [], problems: [] });
        assert.ok(uuid.length > 0 && "freeBytes" in room && room.freeBytes > 0);
      }
      assert.equal(seen.template?.host, first);
      assert.ok(seen.template.disks.length > 0 && seen.template.disks.every(({ bytes, capacityBytes }) => bytes > 0 && capacityBytes >= bytes));
    });

    it("gives an unchanged template the same content id every time", async () => {
      assert.equal((await observe()).template?.contentId, contentId);
    });

    it("tells hosts apart by their own ids", async () => {
      const ids = (await observe()).hosts.map((h) => (h as ReachableHost).uuid);
      assert.equal(new Set(ids).size, ids.length);
    });

    // ---- a full member's life

    it("shows a copied base as partial until its member is defined", async () => {
      await clone(template(), base(second, 0));
      const { members, leftovers } = await look(second);
      assert.deepEqual(members, []);
      assert.ok(leftovers.some((p) => p.slot === 0));
    });

    it("makes a full member: whole, stopped, its frozen base under a delta", async () => {
      await makeFull(second, 0);
      const { members, leftovers } = await look(second);
      const { slot, name: called, uuid, kind, generation, incarnation, power: state, base: frozen, chain, cardAddresses, contentId: id } = only(members);
      assert.deepEqual(
        { slot, called, uuid, kind, generation, incarnation, state, frozen, id },
        {
          slot: 0, called: slotName(0), uuid: memberUuid(fleet.fleetId, 0), kind: "full", generation: 0,
          incarnation: "one", state: "stopped", frozen: "frozen", id: contentId,
        },
      );
      assert.deepEqual(cardAddresses, memberMacs(fleet.fleetId, 0, world.spec.vm.networks!.length));
      assert.deepEqual(cardAddresses, hv.identities.cardAddresses(fleet.fleetId, 0, world.spec.vm.networks!.length));
      assert.equal(chain.length, 2);
      assert.deepEqual(leftovers, []);
    });

    it("keeps a member's extra disks, whatever is declared when its definition changes", async () => {
      await clone(template(), base(first, 0));
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 0, contentId });
      const disksOf = async () => (await look(first)).members[0]!.disks.map(({ label, onDelete, name }) => `${label} ${onDelete} ${name}`);
      await define(first, 0, "full", { disks: [{ label: "data", sizeBytes: 1 << 20, onDelete: "delete" }, { label: "log", sizeBytes: 1 << 20, onDelete: "keep" }] });
      const made = await disksOf();
      assert.deepEqual(made.map((disk) => disk.split(" ").slice(0, 2).join(" ")), ["data delete", "log keep"]);
      for (const disks of [[], [{ label: "data", sizeBytes: 1 << 20, onDelete: "keep" as const }, { label: "more", sizeBytes: 1 << 20, onDelete: "delete" as const }]]) {
        await define(first, 0, "full", { disks });
        assert.deepEqual(await disksOf(), made);
      }
    });

    it("changes a running member's hardware at once where that is ordered and it was started for it, and else at its next start", async () => {
      const notices: string[] = [];
      const seen = async () => {
        const { numCpus, memory, atFirst, running } = only((await look(first)).members);
        return { most: [numCpus, memory], first: atFirst && [atFirst.numCpus, atFirst.memory], running: running && [running.numCpus, running.maxCpus, running.maxMemory] };
      };
      const shaped = (numCpus: number, memory: number, live?: ReconfigureOrder["live"]) => hv.reconfigure(
        { ...definition(first, 0, "full", { numCpus, memory, maxCpus: 4, maxMemory: 128 }), ...(live && { live }) }, { onNotice: (notice) => notices.push(notice) });
      await clone(template(), base(first, 0));
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 0, contentId });
      await shaped(1, 96);
      assert.deepEqual(await seen(), { most: [4, 128], first: [1, 96], running: undefined });
      await power(first, 0, "running");
      assert.deepEqual(await seen(), { most: [4, 128], first: [1, 96], running: [1, 4, 128] });
      for (let i = 0; i < 2; i++) {
        await shaped(3, 112, ["cpus", "memory"]);
        assert.deepEqual(await seen(), { most: [4, 128], first: [3, 112], running: [3, 4, 128] });
      }
      await shaped(2, 96);
      assert.deepEqual(await seen(), { most: [4, 128], first: [2, 96], running: [3, 4, 128] });
      await power(first, 0, "stopped");
      await power(first, 0, "running");
      assert.deepEqual([await seen(), notices], [{ most: [4, 128], first: [2, 96], running: [2, 4, 128] }, []]);
    });

    it("makes a member's data disks as large as is declared, running and stopped, and never smaller", async () => {
      const step = 8 << 20;
      const disks = (data: number) => ({ disks: [{ label: "log", sizeBytes: step, onDelete: "delete" as const }, { label: "data", sizeBytes: data, onDelete: "keep" as const }] });
      const sizes = async () => Object.fromEntries(only((await look(first)).members).disks.map(({ label, capacityBytes }) => [label, capacityBytes / step]));
      await clone(template(), base(first, 0));
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 0, contentId });
      for (const data of [1, 2]) {
        await define(first, 0, "full", disks(data * step));
        assert.deepEqual(await sizes(), { log: 1, data });
      }
      await power(first, 0, "running");
      for (const [data, then] of [[3, 3], [1, 3]] as const) {
        await define(first, 0, "full", disks(data * step));
        assert.deepEqual(await sizes(), { log: 1, data: then });
      }
    });

    it("gives a slot's next member a disk that was kept, as large as is declared, and keeps it again", async () => {
      const step = 8 << 20;
      const disks = [{ label: "data", sizeBytes: 2 * step, onDelete: "keep" as const }, { label: "log", sizeBytes: step, onDelete: "delete" as const }];
      const made = async (generation: number, reattach?: { label: string; disk: string }[]) => {
        await clone(template(), { ...base(first, 0), generation });
        await hv.snapshot({ fleet, host: first, slot: 0, generation, contentId });
        await hv.reconfigure({ ...definition(first, 0, "full", { disks }), generation, ...(reattach && { reattach }) });
      };
      await clone(template(), base(first, 0));
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 0, contentId });
      await define(first, 0, "full", { disks: [{ ...disks[0]!, sizeBytes: step }] });
      await destroy(first, 0);
      const [kept] = (await look(first)).kept;
      assert.deepEqual([kept!.slot, kept!.label, kept!.disk?.capacityBytes], [0, "data", step]);
      await made(1, [{ label: "data", disk: kept!.name }]);
      await hv.reconfigure({ ...definition(first, 0, "full", { disks }), generation: 1 });
      const after = await look(first);
      assert.deepEqual(only(after.members).disks.map(({ label, name, capacityBytes }) => [label, name === kept!.name, capacityBytes / step]).sort(), [["data", true, 2], ["log", false, 1]]);
      assert.deepEqual([after.kept, after.leftovers], [[], []]);
      await hv.destroy({ kind: "member", ...ref(first, 0), generation: 1, shutdownMs: 0 });
      const left = await look(first);
      assert.deepEqual([left.kept.map(({ name }) => name), left.members, left.leftovers], [[kept!.name], [], []]);
      const larger = { ...definition(first, 0, "full", { disks: [{ ...disks[0]!, sizeBytes: step }] }), generation: 2 };
      await clone(template(), { ...base(first, 0), generation: 2 });
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 2, contentId });
      await assert.rejects(hv.reconfigure({ ...larger, reattach: [{ label: "data", disk: kept!.name }] }), /larger/);
      await assert.rejects(hv.reconfigure({ ...larger, reattach: [{ label: "data", disk: "vmfleet-nobodys" }] }));
      assert.deepEqual((await look(first)).members, []);
    });

    it("makes a member's first disk as large as is declared, running and stopped, merged or not, and never smaller", async () => {
      const size = async () => only((await look(first)).members).chain[0]!.capacityBytes;
      const grown = async (sizeBytes: number) => {
        await define(first, 0, "full", { rootDisk: { sizeBytes } });
        return size();
      };
      await makeFull(first, 0);
      const least = await size();
      const step = 8 << 20;
      assert.equal(await grown(least + step), least + step);
      await power(first, 0, "running");
      assert.equal(await grown(least + 2 * step), least + 2 * step);
      await hv.consolidate(ref(first, 0));
      assert.equal(await size(), least + 2 * step);
      assert.equal(await grown(least + 3 * step), least + 3 * step);
      await power(first, 0, "stopped");
      assert.equal(await grown(least + 4 * step), least + 4 * step);
      assert.equal(await grown(least + step), least + 4 * step);
      await define(first, 0, "full");
      assert.equal(await size(), least + 4 * step);
    });

    it("tells a guest who it is as ordered, anew when that changes, and nothing when nothing is ordered", async () => {
      const told = (hostname: string) => guestIdentity(
        { kind: "cloudInit", hostname, addresses: [], dnsServers: [], dnsDomains: [], sshAuthorizedKeys: [] },
        { fleetId: fleet.fleetId, slot: 0, generation: 0, name: slotName(0), host: first, rack: "r", macs: [] },
      )!;
      const shown = async () => only((await look(first)).members).guest;
      await clone(template(), base(first, 0));
      await hv.snapshot({ fleet, host: first, slot: 0, generation: 0, contentId });
      await hv.reconfigure({ ...definition(first, 0, "full"), guest: told("a") });
      assert.equal(await shown(), told("a").hash);
      await power(first, 0, "running");
      await hv.reconfigure({ ...definition(first, 0, "full"), guest: told("b") });
      assert.equal(await shown(), told("b").hash, "also while it runs");
      await hv.reconfigure({ ...definition(first, 0, "full"), guest: told("b") });
      assert.deepEqual([await shown(), (await look(first)).leftovers], [told("b").hash, []]);
      await define(first, 0, "full");
      assert.equal(await shown(), undefined);
      await power(first, 0, "stopped");
      await hv.reconfigure({ ...definition(first, 0, "full"), guest: told("a") });
      assert.equal(await shown(), told("a").hash);
      await destroy(first, 0);
      const { members, leftovers } = await look(first);
      assert.deepEqual([members, leftovers], [[], []]);
    });

    it("consolidates a running member into one disk", async () => {
      await makeFull(second, 0);
      await power(second, 0, "running");
      await hv.consolidate(ref(second, 0));
      const member = only((await look(second)).members);
      assert.deepEqual([member.power, member.base, member.chain.length], ["running", "consolidated", 1]);
    });

    it("consolidates a stopped member into one disk", async () => {
      await makeFull(second, 0);
      await hv.consolidate(ref(second, 0));
      const member = only((await look(second)).members);
      assert.deepEqual([member.power, member.base, member.chain.length], ["stopped", "consolidated", 1]);
    });

    it("copies from a frozen base whose member already runs", async () => {
      await makeFull(second, 0);
      await power(second, 0, "running");
      await makeFull(first, 1, base(second, 0));
      assert.equal(only((await look(first)).members).base, "frozen");
      assert.equal(only((await look(second)).members).power, "running");
    });

    it("copies within one host without using the network", async () => {
      assert.equal((await clone(template(), base(first, 0))).bytesMoved, 0);
    });

    it("counts what left the source for another host", async () => {
      assert.ok((await clone(template(), base(second, 0))).bytesMoved > 0);
    });

    it("leaves nothing of a destroyed member", async () => {
      await makeFull(second, 0);
      await power(second, 0, "running");
      await destroy(second, 0);
      const { members, leftovers } = await look(second);
      assert.deepEqual({ members, leftovers }, { members: [], leftovers: [] });
    });

    // ---- again, and not at all

    it("does again what is done without harm", async () => {
      for (let i = 0; i < 2; i++) {
        await makeFull(second, 0);
        await power(second, 0, "running");
      }
      for (let i = 0; i < 2; i++) await hv.consolidate(ref(second, 0));
      assert.equal(only((await look(second)).members).power, "running");
      for (let i = 0; i < 2; i++) await power(second, 0, "stopped");
      for (let i = 0; i < 2; i++) await destroy(second, 0);
      assert.deepEqual((await look(second)).members, []);
    });

    it("has no objection to destroying what is not there", async () => {
      await destroy(second, 7);
      await hv.destroy({ kind: "replica", fleet, host: second, contentId, purpose: "replica" });
      await hv.destroy({ kind: "leftover", fleet, host: second, leftover: { kind: "volume", name: "no-such-volume", bytes: 0 } });
    });

    it("rewrites a member's incarnation", async () => {
      await makeFull(second, 0);
      await hv.adopt({ ...ref(second, 0), fleet: { ...fleet, incarnation: "two" } });
      assert.equal(only((await look(second)).members).incarnation, "two");
    });

    it("inspects one member, and tells when there is none", async () => {
      assert.equal(await hv.inspect(ref(second, 0)), null);
      await makeFull(second, 0);
      const seen = await hv.inspect(ref(second, 0));
      assert.deepEqual([seen?.power, seen?.base, seen?.chain.length], ["stopped", "frozen", 2]);
    });

    // ---- long calls

    it("reports progress that only grows and ends at the total", async () => {
      const reports: [number, number][] = [];
      await hv.clone({ fleet, image, source: template(), target: base(second, 0) }, {
        onProgress: (done, total) => reports.push([done, total]),
      });
      assert.ok(reports.length > 0);
      reports.forEach(([done], i) => assert.ok(i === 0 || done >= reports[i - 1]![0], "monotonic"));
      const [done, total] = reports.at(-1)!;
      assert.equal(done, total);
    });

    it("aborts a copy at once, leaving nothing but a partial that can be removed", async () => {
      const abort = new AbortController();
      const copying = hv.clone({ fleet, image, source: template(), target: base(second, 0) }, {
        signal: abort.signal, onProgress: () => abort.abort(new Error("enough")),
      });
      // A copy that reports only at its end is whole by then: both are allowed, a hang is not.
      await copying.catch(() => undefined);
      const { members, leftovers } = await look(second);
      assert.deepEqual(members, []);
      for (const leftover of leftovers) await hv.destroy({ kind: "leftover", fleet, host: second, leftover });
      assert.deepEqual((await look(second)).leftovers, []);
    });

    it("does not look with a signal that has aborted", async () => {
      const signal = AbortSignal.abort(new Error("too late"));
      await assert.rejects(hv.observe({
        fleetId: fleet.fleetId, namePrefix: fleet.namePrefix, hosts: world.spec.hosts, spec: world.spec, deadlineMs: world.spec.timeouts.callMs, preflight: false,
      }, { signal }), /too late/);
    });

    it("refuses to begin with a signal that has aborted", async () => {
      const signal = AbortSignal.abort(new Error("too late"));
      await assert.rejects(hv.clone({ fleet, image, source: template(), target: base(second, 0) }, { signal }));
      assert.deepEqual((await look(second)).members, []);
    });

    for (const kind of ["base", "replica"] as const) {
      it(`goes on with a ${kind} that was aborted, fetching only the rest`, async () => {
        const target = kind === "base" ? base(second, 0) : replica(second);
        const abort = new AbortController();
        let total = 0;
        const broken: number[] = [];
        const whole = await hv.clone({ fleet, image, source: template(), target }, {
          signal: abort.signal, onProgress: (done, of) => { total = of; if (done > of / 4) abort.abort(new Error("enough")); },
          onBroken: (moved) => broken.push(moved.bytesMoved),
        }).then(() => true, () => false);
        if (whole) return; // too quick to be caught in the middle
        assert.ok(broken.length === 1 && broken[0]! > 0 && broken[0]! <= total, `${broken.join(", ")} said to have been moved, of ${total}`);
        assert.ok((await look(second)).leftovers.every((p) => p.resumable?.contentId === contentId), "nothing else stays");
        const { bytesMoved } = await clone(template(), target);
        assert.ok(bytesMoved < total, `${bytesMoved} of ${total}`);
        const seen = await look(second);
        if (kind === "replica") assert.deepEqual([seen.replicas.length, seen.leftovers], [1, []]);
      });
    }

    it("goes on with no copy of another content", async () => {
      const abort = new AbortController();
      await hv.clone({ fleet, image, source: template(), target: base(second, 0) }, {
        signal: abort.signal, onProgress: (done, of) => { if (done > of / 4) abort.abort(new Error("enough")); },
      }).catch(() => undefined);
      const { leftovers } = await look(second);
      assert.ok(leftovers.every((p) => p.resumable?.contentId !== "0123456789abcdef".repeat(4)));
      for (const leftover of leftovers) await hv.destroy({ kind: "leftover", fleet, host: second, leftover });
      assert.deepEqual((await look(second)).leftovers, []);
    });

    it("makes a member anew from the copy that was aborted", async () => {
      const abort = new AbortController();
      await hv.clone({ fleet, image, source: template(), target: base(second, 0) }, {
        signal: abort.signal, onProgress: () => abort.abort(new Error("enough")),
      }).catch(() => undefined);
      await makeFull(second, 0);
      const { members, leftovers } = await look(second);
      assert.equal(only(members).base, "frozen");
      assert.deepEqual(leftovers, []);
    });

    // ---- whose is what

    it("shows a fleet nothing of another", async () => {
      await makeFull(second, 0);
      const other = hostOf(await observe(world.freshFleetId()), second);
      assert.deepEqual([other.members, other.replicas, other.leftovers], [[], [], []]);
    });

    it("refuses a name that something without our tag has, and leaves that alone", async function () {
      if (!world.putForeign) return this.skip();
      await world.putForeign(second, slotName(5));
      assert.ok((await look(second)).foreignNames.includes(slotName(5)));
      await clone(template(), base(second, 5));
      await hv.snapshot({ fleet, host: second, slot: 5, generation: 0, contentId });
      await assert.rejects(define(second, 5, "full"), ForeignNameError);
      await destroy(second, 5);
      assert.ok((await look(second)).foreignNames.includes(slotName(5)));
    });

    // ---- one run per fleet

    it("lets one run hold a fleet's lock and tells the other who holds it", async () => {
      const other = await world.second();
      const request = { fleetId: fleet.fleetId, hosts: world.spec.hosts, timeoutMs: 300 };
      const lock = await hv.lock({ ...request, holder: "the first run" });
      const waitedFor: string[] = [];
      await assert.rejects(
        other.lock({ ...request, holder: "the second run", onWait: (holder) => waitedFor.push(holder) }),
        (error: unknown) => error instanceof LockTimeoutError && error.holder.includes("the first run"),
      );
      assert.ok(waitedFor.some((holder) => holder.includes("the first run")));
      assert.equal(lock.lost.aborted, false);
      await lock.release();
      await (await other.lock({ ...request, holder: "the second run", timeoutMs: 10_000 })).release();
    });

    it("lets two fleets be locked at once", async () => {
      const other = await world.second();
      const hosts = world.spec.hosts;
      const mine = await hv.lock({ fleetId: fleet.fleetId, hosts, timeoutMs: 1000, holder: "a" });
      const theirs = await other.lock({ fleetId: world.freshFleetId(), hosts, timeoutMs: 10_000, holder: "b" });
      await Promise.all([mine.release(), theirs.release()]);
    });

    it("does not show a lock as a leftover", async () => {
      const lock = await hv.lock({ fleetId: fleet.fleetId, hosts: world.spec.hosts, timeoutMs: 10_000, holder: "a" });
      for (const host of (await observe()).hosts) assert.deepEqual((host as ReachableHost).leftovers, []);
      await lock.release();
    });

    // ---- what it can do and others cannot

    abilityContracts({
      get hv() { return hv; }, get fleet() { return fleet; }, get spec() { return world.spec; }, get image() { return image; }, get contentId() { return contentId; },
      get first() { return first; }, get second() { return second; },
      template, base, replica, definition, look, clone, define, makeFull, power, destroy, only,
    }, options.abilities);
  });
}
