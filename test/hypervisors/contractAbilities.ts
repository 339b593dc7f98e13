/** The part of the contract that each ability adds, for the adapters that have it (contract.ts). */
import assert from "node:assert/strict";
import type { FleetSpec, Image, ObservedMember, ReachableHost } from "../../provider/fleet/model";
import type {
  Abilities, CloneOrder, CloneResult, CloneTarget, EarlyOrder, FleetIdentity, Hypervisor, ImageRef, ReconfigureOrder, ReplicaRef,
} from "../../provider/hypervisors/hypervisor";

/** The words of the contract's tests, and what they are about at the moment. */
export interface ContractGround {
  readonly hv: Hypervisor;
  readonly fleet: FleetIdentity;
  readonly spec: FleetSpec;
  /** What the template holds. */
  readonly image: Image;
  /** Of it. */
  readonly contentId: string;
  /** The hosts' names; the template is on the first. */
  readonly first: string;
  readonly second: string;
  template(): ImageRef;
  base(host: string, slot: number): Extract<CloneTarget, { kind: "base" }>;
  replica(host: string): ReplicaRef;
  definition(host: string, slot: number, kind: "full" | "linked"): ReconfigureOrder;
  look(host: string): Promise<ReachableHost>;
  clone(source: ImageRef, target: CloneTarget): Promise<CloneResult>;
  define(host: string, slot: number, kind: "full" | "linked"): Promise<void>;
  makeFull(host: string, slot: number, source?: ImageRef): Promise<void>;
  power(host: string, slot: number, to: "running" | "stopped"): Promise<void>;
  destroy(host: string, slot: number): Promise<void>;
  only(members: ObservedMember[]): ObservedMember;
}

type AbilityName = keyof Abilities;
type Contract<Name extends AbilityName> = (ground: ContractGround, has: () => NonNullable<Abilities[Name]>) => void;

const CONTRACTS: { [Name in AbilityName]: Contract<Name> } = { relaying, linksClones, startsEarly, findsSharedStores, reportsReadiness };

const WORDS: Record<keyof Abilities, string> = {
  relaying: "copies from copies that arrive", linksClones: "links members to a replica", startsEarly: "starts members before their disk is there",
  findsSharedStores: "finds out which hosts share a store", reportsReadiness: "asks guests whether they are there",
};

/** @param names of the abilities that the adapter says it has */
export function abilityContracts(ground: ContractGround, names: readonly (keyof Abilities)[]): void {
  it("has the abilities that it is known to have, and no other", () => {
    assert.deepEqual(Object.keys(ground.hv.abilities).sort(), [...names].sort());
  });
  const contract = <Name extends keyof Abilities>(name: Name) => {
    const tests: Contract<Name> = CONTRACTS[name];
    describe(`as one that ${WORDS[name]}`, () => tests(ground, () => ground.hv.abilities[name]!));
  };
  names.forEach(contract);
}

function relaying(ground: ContractGround, has: () => NonNullable<Abilities["relaying"]>): void {
  const { template, base, clone, look } = ground;

  it("copies from a copy that was ordered in the same breath, and makes both whole", async () => {
    const { hv, fleet, first, second, contentId } = ground;
    assert.ok(has().hopSeconds >= 0);
    await Promise.all([clone(template(), base(second, 0)), clone(base(second, 0), base(first, 1))]);
    for (const [host, slot] of [[second, 0], [first, 1]] as const) {
      await hv.snapshot({ fleet, host, slot, generation: 0, contentId: ground.contentId });
      await ground.define(host, slot, "full");
      const { base: state, contentId: of } = ground.only((await look(host)).members);
      assert.deepEqual([state, of], ["frozen", contentId]);
    }
  });

  it("gives no other source to a copy that is not under way", async () => {
    const { fleet, second, image } = ground;
    const order = { fleet, image, target: base(second, 0), source: template() };
    await assert.rejects(has().refeed(order));
    await clone(template(), base(second, 0));
    await assert.rejects(has().refeed(order));
  });
}

function linksClones(ground: ContractGround, has: () => NonNullable<Abilities["linksClones"]>): void {
  const { template, replica, clone, look } = ground;
  const makeLinked = async (host: string, slot: number) => {
    await has().link({ fleet: ground.fleet, host, slot, generation: 0, contentId: ground.contentId, replica: replica(host) });
    await ground.define(host, slot, "linked");
  };

  it("lists a replica with the slots that stand over it", async () => {
    const { second, contentId } = ground;
    await clone(template(), replica(second));
    await makeLinked(second, 0);
    await makeLinked(second, 1);
    const { members, replicas, leftovers } = await look(second);
    assert.deepEqual(replicas.map((r) => [r.contentId, r.purpose, [...r.users].sort()]), [[contentId, "replica", [0, 1]]]);
    assert.deepEqual(members.map((m) => [m.kind, m.base, m.chain.length]), [["linked", "replica", 2], ["linked", "replica", 2]]);
    assert.deepEqual(leftovers, []);
  });

  it("copies from a replica", async () => {
    const { first, second } = ground;
    await clone(template(), replica(second));
    await clone(replica(second), replica(first));
    assert.equal((await look(first)).replicas.length, 1);
  });

  it("keeps the replica when a linked member goes, and removes it when told to", async () => {
    const { hv, fleet, second, contentId } = ground;
    await clone(template(), replica(second));
    await makeLinked(second, 0);
    await ground.destroy(second, 0);
    assert.deepEqual((await look(second)).replicas.map((r) => r.users), [[]]);
    await hv.destroy({ kind: "replica", fleet, host: second, contentId, purpose: "replica" });
    const { replicas, leftovers } = await look(second);
    assert.deepEqual({ replicas, leftovers }, { replicas: [], leftovers: [] });
  });
}

function startsEarly(ground: ContractGround, has: () => NonNullable<Abilities["startsEarly"]>): void {
  const { template, base, replica, look } = ground;
  const early = (host: string, slot: number, image: CloneTarget = base(host, slot)): EarlyOrder => (
    { ...ground.definition(host, slot, image.kind === "base" ? "full" : "linked"), base: image }
  );
  const order = (target: CloneTarget): CloneOrder => ({ fleet: ground.fleet, image: ground.image, source: template(), target });
  const makeEarly = async (host: string, slot: number, image: CloneTarget, signal?: AbortSignal) => {
    const cloning = ground.hv.clone(order(image), { signal });
    // A small image may be there before the guest is; then the guest starts after it.
    return (await Promise.allSettled([cloning, has().startEarly(early(host, slot, image))]))[0];
  };
  /** Runs without the rest of its disk. */
  const startAndAbort = async (host: string, slot: number) => {
    const abort = new AbortController();
    const cloning = ground.hv.clone(order(base(host, slot)), { signal: abort.signal });
    await has().startEarly(early(host, slot)).catch(() => undefined);
    abort.abort(new Error("enough"));
    await cloning.catch(() => undefined);
  };
  const clean = async (host: string) => {
    for (const leftover of (await look(host)).leftovers) await ground.hv.destroy({ kind: "leftover", fleet: ground.fleet, host, leftover });
  };

  for (const kind of ["full", "linked"] as const) {
    it(`makes of an early ${kind} member what it would have been otherwise`, async () => {
      const { hv, fleet, second } = ground;
      const image = kind === "full" ? base(second, 4) : replica(second);
      await makeEarly(second, 4, image);
      await has().settle(early(second, 4, image));
      await has().settle(early(second, 4, image));
      const at = { fleet, host: second, slot: 4, generation: 0, contentId: ground.contentId };
      await (image.kind === "base" ? hv.snapshot(at) : hv.abilities.linksClones!.link({ ...at, replica: image }));
      await ground.define(second, 4, kind);
      await ground.power(second, 4, "running");
      const found = await look(second);
      const member = ground.only(found.members);
      assert.deepEqual([member.base, member.power, member.chain.length], [kind === "full" ? "frozen" : "replica", "running", 2]);
      assert.deepEqual(found.leftovers, []);
    });
  }

  it("says what a guest read that booted early, where it can, and fetches first what it is told", async () => {
    const { hv, fleet, second } = ground;
    const recording = has().clone({ ...order(base(second, 4)), recordReads: true });
    await has().startEarly(early(second, 4)).catch(() => undefined);
    const { readProfile = [] } = await recording;
    let endBytes = -1;
    for (const { offsetBytes, lengthBytes } of readProfile) {
      assert.ok(offsetBytes > endBytes && lengthBytes > 0, JSON.stringify(readProfile));
      endBytes = offsetBytes + lengthBytes;
    }
    await has().settle(early(second, 4));
    // What lies beyond the image is as much a hint as the rest.
    const readFirst = [...readProfile, { offsetBytes: 1 << 20, lengthBytes: 1 << 20 }, { offsetBytes: 2 ** 50, lengthBytes: 1 << 20 }];
    const copied = await has().clone({ ...order(base(second, 6)), readFirst });
    assert.equal(copied.readProfile, undefined);
    await hv.snapshot({ fleet, host: second, slot: 6, generation: 0, contentId: ground.contentId });
    await ground.define(second, 6, "full");
    const { members, leftovers } = await look(second);
    assert.deepEqual([members.find((m) => m.slot === 6)?.base, leftovers], ["frozen", []]);
  });

  it("keeps an early member whose copy was aborted, and completes it with a later one", async () => {
    const { hv, fleet, second } = ground;
    await startAndAbort(second, 4);
    await clean(second);
    await makeEarly(second, 4, base(second, 4));
    await has().settle(early(second, 4));
    await hv.snapshot({ fleet, host: second, slot: 4, generation: 0, contentId: ground.contentId });
    await ground.define(second, 4, "full");
    await ground.power(second, 4, "running");
    const found = await look(second);
    const { base: state, chain } = ground.only(found.members);
    assert.deepEqual([state, chain.length, found.leftovers], ["frozen", 2, []]);
  });

  it("starts nothing early that no copy brings a disk for, and settles nothing that is settled", async () => {
    const { second } = ground;
    await assert.rejects(has().startEarly(early(second, 4)), /no copy is under way/);
    await has().settle(early(second, 4));
    assert.deepEqual((await look(second)).members, []);
    await ground.makeFull(second, 4);
    const before = await look(second);
    await has().settle(early(second, 4));
    assert.deepEqual((await look(second)).members, before.members);
  });

  it("removes an early member whose disk has not arrived", async () => {
    const { second } = ground;
    await startAndAbort(second, 4);
    await ground.destroy(second, 4);
    const { members } = await look(second);
    await clean(second);
    assert.deepEqual([members, (await look(second)).leftovers], [[], []]);
  });
}

function findsSharedStores(ground: ContractGround, has: () => NonNullable<Abilities["findsSharedStores"]>): void {
  it("says of hosts with stores of their own that they share none, and leaves nothing there", async () => {
    const { fleet, first, second } = ground;
    assert.deepEqual(await has().sharedStores({ fleetId: fleet.fleetId, hosts: [first, second] }), []);
    for (const host of [first, second]) assert.deepEqual((await ground.look(host)).leftovers, []);
  });
}

function reportsReadiness(ground: ContractGround, has: () => NonNullable<Abilities["reportsReadiness"]>): void {
  const at = (slot: number) => ({ fleet: ground.fleet, host: ground.second, slot, name: ground.base(ground.second, slot).name, generation: 0 });
  const isConfiguring = async () => ground.only((await ground.look(ground.second)).members).configuring;
  const makeConfiguring = async (slot: number) => {
    const { hv, fleet, second } = ground;
    await ground.clone(ground.template(), ground.base(second, slot));
    await hv.snapshot({ fleet, host: second, slot, generation: 0, contentId: ground.contentId });
    await hv.reconfigure({ ...ground.definition(second, slot, "full"), configuring: true });
  };

  it("shows that a guest is to be waited for through all that is done to its member, until it is said to be ready", async () => {
    const { hv, second } = ground;
    await makeConfiguring(4);
    assert.equal(await isConfiguring(), true);
    await ground.power(second, 4, "running");
    await ground.define(second, 4, "full");
    await hv.adopt(at(4));
    await hv.consolidate(at(4));
    assert.equal(await isConfiguring(), true);
    await has().markConfiguring({ ...at(4), configuring: false });
    await has().markConfiguring({ ...at(4), configuring: false });
    assert.equal(await isConfiguring(), undefined);
    assert.equal(ground.only((await ground.look(second)).members).base, "consolidated", "nothing else of it was changed");
    await has().markConfiguring({ ...at(4), configuring: true });
    assert.equal(await isConfiguring(), true);
  });

  it("says nothing of waiting for members that nobody waits for", async () => {
    await ground.makeFull(ground.second, 4);
    assert.equal(await isConfiguring(), undefined);
  });

  it("answers for guests that say nothing, and for machines that are off", async () => {
    const { second } = ground;
    await ground.makeFull(second, 4);
    const ask = (question: Parameters<ReturnType<typeof has>["askGuest"]>[0]["question"]) => has().askGuest({ ...at(4), question });
    assert.deepEqual(await ask({ kind: "guestAgent" }), { agent: "off" });
    await ground.power(second, 4, "running");
    const { agent } = await ask({ kind: "guestAgent" });
    assert.ok(["answers", "silent", "none"].includes(agent), agent);
    const { news } = await ask({ kind: "news" });
    assert.ok(Array.isArray(news?.ipAddresses));
    const { tcpPortOpen } = await ask({ kind: "tcpPort", port: 1, addresses: [] });
    assert.equal(typeof tcpPortOpen, "boolean");
  });

  it("neither asks nor marks a member that is gone", async () => {
    await assert.rejects(has().askGuest({ ...at(7), question: { kind: "guestAgent" } }));
    await assert.rejects(has().markConfiguring({ ...at(7), configuring: true }));
  });
}
