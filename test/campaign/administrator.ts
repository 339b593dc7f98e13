/** An administrator at work on the simulated hosts, beside the provider: what virsh, virt-clone and cp would do there. */
import { createHash } from "node:crypto";
import type { SimulatedHypervisor } from "../../provider/hypervisors/simulated";
import { replicaKey, slotKey, volumeKey, type SimulatedHost, type SimulatedMember } from "../../provider/hypervisors/simulated/world";
import type { ActName, Undo } from "./acts";
import type { Step } from "./life";

type Picks = Extract<Step, { kind: "act" }>["picks"];
interface At { host: SimulatedHost; member: SimulatedMember }
type Backup = Pick<SimulatedHost, "members" | "bases" | "deltas" | "early" | "replicas" | "kept" | "freeBytes">;

const pick = <T>(from: readonly T[], share: number): T | undefined => from[Math.floor(share * from.length)];
const uuidOf = (text: string): string => createHash("sha1").update(text).digest("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");

export class Administrator {
  /** What may stand in a run's way by now, the oldest first; by what it is about. */
  readonly undos = new Map<string, Undo>();
  /** What was done, in words. */
  readonly log: string[] = [];
  private readonly backups = new Map<string, Backup>();
  private made = 0;

  constructor(private readonly hypervisor: SimulatedHypervisor, private readonly fleetId: string, private readonly hostNames: readonly string[]) {}

  /** @returns false: there was nothing to do it to */
  do(act: ActName, picks: Picks): boolean {
    const did = this.acts[act](picks);
    if (did !== undefined) this.log.push(`${act}: ${did}`);
    return did !== undefined;
  }

  /** Puts everything right that may stand in a run's way. */
  undoAll(): void {
    for (let [key] = this.undos.keys(); key !== undefined; [key] = this.undos.keys()) this.undo(key);
  }

  private undo(key: string): string {
    const { what, run } = this.undos.get(key)!;
    this.undos.delete(key);
    void run();
    return what;
  }

  private get hosts(): SimulatedHost[] {
    return this.hostNames.map((name) => this.hypervisor.host(name));
  }

  /** Where the administrator can log in. */
  private get answering(): SimulatedHost[] {
    return this.hosts.filter((host) => host.down === undefined);
  }

  private membersOf(host: SimulatedHost): SimulatedMember[] {
    return [...host.members.values()].filter((member) => member.fleetId === this.fleetId).sort((a, b) => a.slot - b.slot);
  }

  private member(share: number, accept: (at: At) => boolean = () => true): At | undefined {
    return pick(this.answering.flatMap((host) => this.membersOf(host).map((member) => ({ host, member }))).filter(accept), share);
  }

  /** What a member's definition names, and what that stands on. */
  private volumesOf({ host, member }: At): string[] {
    const { fleetId, slot, generation } = member;
    const below = member.kind === "linked" ? host.replicas.get(replicaKey(fleetId, "replica", member.contentId))?.disk.name : undefined;
    const data = member.disks.map((disk) => disk.name);
    return [...new Set([...host.volumesOf(fleetId, slot, generation), ...data, ...(below === undefined ? [] : [below])])];
  }

  private tagOf = ({ fleetId, slot, generation }: SimulatedMember) => ({ fleetId, slot, generation });

  private readonly acts: Record<ActName, (picks: Picks) => string | undefined> = {
    clone: ([which]) => {
      // While its delta is merged the base is written to: what a copy would stand on is no whole disk (docs/by-hand.md).
      const at = this.member(which, ({ host, member }) => {
        const key = volumeKey(member.fleetId, member.slot, member.generation);
        return !host.early.has(key) && host.bases.get(key)?.state !== "consolidating";
      });
      if (!at) return undefined;
      const { host, member } = at;
      const name = this.fresh(`${member.name}-clone`);
      // What a copied delta stands on: a linked member's replica, and the base of a full one that is not merged.
      const key = volumeKey(member.fleetId, member.slot, member.generation);
      const below = !host.deltas.has(key) ? undefined
        : (member.kind === "linked" ? host.replicas.get(replicaKey(member.fleetId, "replica", member.contentId)) : host.bases.get(key))?.disk.name;
      const volumes = this.volumesOf(at).map((volume) => {
        if (volume === below) return volume;
        const copy = `${volume}-${name}`;
        host.byHand.volumes.set(copy, { name: copy, bytes: 1, held: this.tagOf(member) });
        return copy;
      });
      host.byHand.domains.set(name, { name, uuid: uuidOf(name), power: "stopped", tag: this.tagOf(member), volumes });
      if (below !== undefined) this.undos.set(`domain ${name}`, { what: `removes ${name}`, onlyAtDestroy: member.kind === "linked", run: () => this.removeDomain(host, name) });
      return `${member.name} on ${host.name} as ${name}`;
    },
    cloneOverItsDisk: ([which]) => {
      // Into a disk that is being merged nobody can put a domain without a change under it.
      const at = this.member(which, (one) => this.isPlain(one));
      if (!at) return undefined;
      const name = this.fresh(`${at.member.name}-copy`);
      at.host.byHand.domains.set(name, { name, uuid: uuidOf(name), power: "stopped", tag: this.tagOf(at.member), volumes: this.volumesOf(at) });
      this.undos.set(`domain ${name}`, { what: `removes ${name}`, run: () => this.removeDomain(at.host, name) });
      return `${at.member.name} on ${at.host.name} as ${name}`;
    },
    undefine: ([which]) => {
      const at = this.member(which, ({ host, member }) => !host.byHand.overlays.has(slotKey(member.fleetId, member.slot)));
      if (!at) return undefined;
      this.forget(at);
      return `${at.member.name} on ${at.host.name}`;
    },
    undefineWithDisks: ([which]) => {
      const at = this.member(which, (one) => this.volumesOf(one).every((volume) => !one.host.byHand.isUsed(volume)));
      if (!at) return undefined;
      const { host, member } = at;
      const { fleetId, slot, generation } = member;
      host.byHand.overlays.delete(slotKey(fleetId, slot));
      host.removeMember({ kind: "member", fleet: { fleetId, incarnation: "", namePrefix: "" }, host: host.name, slot, name: member.name, generation, shutdownMs: 0 });
      host.kept = host.kept.filter((kept) => kept.slot !== slot || kept.generation !== generation);
      return `${member.name} on ${host.name}`;
    },
    rename: ([which]) => {
      const at = this.member(which, (one) => this.isPlain(one));
      if (!at) return undefined;
      const { host, member } = at;
      const name = this.fresh(`kept-${member.name}`);
      const volumes = this.volumesOf(at);
      this.forget(at);
      host.byHand.domains.set(name, { name, uuid: member.uuid, power: "stopped", tag: this.tagOf(member), volumes });
      this.undos.set(`domain ${name}`, { what: `renames ${name} back`, run: () => {
        if (this.hosts.some((one) => one.members.has(slotKey(member.fleetId, member.slot)))) return this.giveItsOwnUuid(host, name);
        host.byHand.domains.delete(name);
        host.members.set(slotKey(member.fleetId, member.slot), { ...member, power: "stopped" });
        host.kept = host.kept.filter((kept) => !volumes.includes(kept.name));
      } });
      return `${member.name} on ${host.name} to ${name}`;
    },
    detach: ([which]) => {
      const at = this.member(which, (one) => this.isPlain(one));
      if (!at) return undefined;
      const { host, member } = at;
      const volumes = this.volumesOf(at);
      this.forget(at);
      host.byHand.domains.set(member.name, { name: member.name, uuid: member.uuid, power: member.power, volumes });
      this.undos.set(`domain ${member.name} on ${host.name}`, { what: `renames ${member.name}`, run: () => this.giveItsOwnUuid(host, member.name) });
      return `${member.name} on ${host.name}`;
    },
    detachAsAnother: ([which]) => {
      const at = this.member(which, (one) => this.isPlain(one));
      if (!at) return undefined;
      const { host, member } = at;
      const name = this.fresh(`own-${member.slot}`);
      const volumes = this.volumesOf(at);
      this.forget(at);
      host.byHand.domains.set(name, { name, uuid: uuidOf(name), power: member.power, volumes });
      if (member.kind === "linked") this.undos.set(`domain ${name}`, { what: `removes ${name}`, onlyAtDestroy: true, run: () => this.removeDomain(host, name) });
      return `${member.name} on ${host.name} as ${name}`;
    },
    snapshot: ([which]) => {
      const at = this.member(which, (one) => this.isPlain(one));
      if (!at) return undefined;
      const { host, member } = at;
      const key = slotKey(member.fleetId, member.slot);
      host.byHand.overlays.set(key, `${member.name}.snap1`);
      this.undos.set(`overlay ${host.name} ${key}`, { what: `merges the snapshot of ${member.name}`, run: () => void host.byHand.overlays.delete(key) });
      return `${member.name} on ${host.name}`;
    },
    mergeSnapshot: () => {
      const key = [...this.undos.keys()].find((one) => one.startsWith("overlay "));
      return key && this.undo(key);
    },
    stop: ([which]) => this.power("stopped", which),
    start: ([which]) => this.power("running", which),
    pause: ([which]) => this.power("paused", which),
    makeVolume: ([where, what]) => {
      const host = pick(this.answering, where);
      if (!host) return undefined;
      const slot = Math.floor(what * 6);
      // Any name will do, one that begins like a disk of ours, too.
      const name = what < 0.5 ? this.fresh("iso") : this.fresh(`${this.fleetId}-${slot}-0-data-copy`);
      host.byHand.volumes.set(name, { name, bytes: 1, ...(what >= 0.5 && { held: { fleetId: this.fleetId, slot, generation: 0 } }) });
      return `${name} on ${host.name}`;
    },
    makeDomain: ([where]) => {
      const host = pick(this.answering, where);
      if (!host) return undefined;
      const name = this.fresh("w-somebodys");
      const volume = this.fresh("somebodys-disk");
      host.byHand.volumes.set(volume, { name: volume, bytes: 1 });
      host.byHand.domains.set(name, { name, uuid: uuidOf(name), power: "running", volumes: [volume] });
      return `${name} on ${host.name}`;
    },
    takeName: ([where, which]) => {
      const host = pick(this.answering, where);
      const name = `w-${String(Math.floor(which * 10)).padStart(3, "0")}`;
      if (!host || this.membersOf(host).some((member) => member.name === name) || host.byHand.domains.has(name)) return undefined;
      host.byHand.domains.set(name, { name, uuid: uuidOf(`${name} ${host.name}`), power: "stopped", volumes: [] });
      this.undos.set(`domain ${name} on ${host.name}`, { what: `renames ${name}`, run: () => this.giveItsOwnUuid(host, name) });
      return `${name} on ${host.name}`;
    },
    takeKeptDisk: ([which]) => {
      const one = pick(this.answering.flatMap((host) => host.kept.map((kept) => ({ host, kept }))), which);
      if (!one || one.host.byHand.isUsed(one.kept.name)) return undefined;
      one.host.kept = one.host.kept.filter((kept) => kept !== one.kept);
      return `${one.kept.name} on ${one.host.name}`;
    },
    takeLeftover: ([which]) => {
      const one = pick(this.answering.flatMap((host) => {
        const seen = host.observe(this.fleetId, "w", false);
        return seen.status === "reachable" ? seen.leftovers.filter((leftover) => leftover.kind === "volume").map((leftover) => ({ host, name: leftover.name })) : [];
      }), which);
      if (!one) return undefined;
      one.host.removeLeftover(this.fleetId, one.name);
      return `${one.name} on ${one.host.name}`;
    },
    defineTwin: ([which, where]) => {
      const at = this.member(which);
      const host = pick(this.answering.filter((one) => one !== at?.host), where);
      if (!at || !host || host.byHand.domains.has(at.member.name) || host.members.has(slotKey(this.fleetId, at.member.slot))) return undefined;
      const { name, uuid } = at.member;
      // Its disks are files of the other host, which this one has not.
      host.byHand.domains.set(name, { name, uuid, power: "stopped", tag: this.tagOf(at.member), volumes: [] });
      this.undos.set(`domain ${name} on ${host.name}`, { what: `undefines ${name} on ${host.name}`, run: () => this.removeDomain(host, name) });
      return `${name} of ${at.host.name} on ${host.name}`;
    },
    hostDies: ([which]) => {
      // Two of them stay: what cannot be asked is refused, and says nothing of what is done.
      const host = this.answering.length > 2 ? pick(this.answering, which) : undefined;
      if (!host) return undefined;
      this.hypervisor.takeDown(host.name);
      this.undos.set(`down ${host.name}`, { what: `${host.name} is back`, run: () => this.hypervisor.bringUp(host.name) });
      return host.name;
    },
    hostReturns: ([which]) => {
      const key = pick([...this.undos.keys()].filter((one) => one.startsWith("down ")), which);
      return key && this.undo(key);
    },
    backUpHost: ([which]) => {
      const host = pick(this.hosts, which);
      if (!host || host.byHand.domains.size > 0 || host.byHand.overlays.size > 0) return undefined;
      const { members, bases, deltas, early, replicas, kept, freeBytes } = host;
      this.backups.set(host.name, structuredClone({ members, bases, deltas, early, replicas, kept, freeBytes }));
      return host.name;
    },
    restoreHost: ([which]) => {
      const host = pick(this.hosts.filter((one) => this.backups.has(one.name) && one.byHand.domains.size === 0 && one.byHand.overlays.size === 0), which);
      if (!host) return undefined;
      const { freeBytes, kept, ...maps } = structuredClone(this.backups.get(host.name)!);
      for (const [name, map] of Object.entries(maps) as [keyof typeof maps, Map<string, never>][]) {
        host[name].clear();
        for (const [key, value] of map) host[name].set(key, value);
      }
      Object.assign(host, { freeBytes, kept });
      this.undos.set(`restored ${host.name}`, { what: `removes the twins on ${host.name}`, run: () => this.removeTwins(host) });
      return host.name;
    },
    rewriteTemplate: ([what]) => {
      const contentId = createHash("sha256").update(String(Math.floor(what * 3))).digest("hex");
      this.hypervisor.rewriteTemplate(contentId);
      return contentId.slice(0, 8);
    },
    undo: ([which]) => {
      const key = pick([...this.undos.keys()], which);
      return key && this.undo(key);
    },
  };

  private power(power: SimulatedMember["power"], which: number): string | undefined {
    const at = this.member(which, ({ host, member }) => !host.early.has(volumeKey(member.fleetId, member.slot, member.generation)));
    if (!at) return undefined;
    if (power === "stopped" || at.member.power === "stopped") delete at.member.running;
    at.member.power = power;
    const key = volumeKey(at.member.fleetId, at.member.slot, at.member.generation);
    const base = at.host.bases.get(key);
    if (power === "running" && base && !at.host.deltas.has(key)) base.state = "consolidated";
    return `${at.member.name} on ${at.host.name}`;
  }

  /** No snapshot on it, no merge of it under way, and no other domain over its disks: one thing at a time. */
  private isPlain(at: At): boolean {
    const { host, member } = at;
    if (host.bases.get(volumeKey(member.fleetId, member.slot, member.generation))?.state === "consolidating") return false;
    return !host.byHand.overlays.has(slotKey(member.fleetId, member.slot)) && !host.early.has(volumeKey(member.fleetId, member.slot, member.generation)) &&
      this.volumesOf(at).every((volume) => !host.byHand.isUsed(volume));
  }

  /** As undefine leaves it: no domain, all its volumes. */
  private forget({ host, member }: At): void {
    host.members.delete(slotKey(member.fleetId, member.slot));
    // Whether anybody wants a data disk nobody else can say: none is taken for a leftover.
    for (const { label, name, onDelete, capacityBytes } of member.disks) host.kept.push({ ...this.tagOf(member), label, name, ...(onDelete === "keep" && { disk: { capacityBytes } }) });
  }

  private removeDomain(host: SimulatedHost, name: string): void {
    for (const volume of host.byHand.domains.get(name)?.volumes ?? []) {
      if (host.byHand.usersOf(volume).length === 1) host.byHand.volumes.delete(volume);
    }
    host.byHand.domains.delete(name);
  }

  private giveItsOwnUuid(host: SimulatedHost, name: string): void {
    const domain = host.byHand.domains.get(name);
    if (!domain) return;
    host.byHand.domains.delete(name);
    const another = this.fresh("own");
    host.byHand.domains.set(another, { ...domain, name: another, uuid: uuidOf(another) });
    // What stands on the fleet's replica keeps it in use for good.
    const replicas = [...host.replicas.values()].map((replica) => replica.disk.name);
    if (domain.volumes.some((volume) => replicas.includes(volume))) {
      this.undos.set(`domain ${another}`, { what: `removes ${another}`, onlyAtDestroy: true, run: () => this.removeDomain(host, another) });
    }
  }

  /** Of members that stand on two hosts with one generation, those that came back. */
  private removeTwins(host: SimulatedHost): void {
    for (const member of this.membersOf(host)) {
      const twin = this.hosts.some((one) => one !== host && one.members.get(slotKey(member.fleetId, member.slot))?.generation === member.generation);
      if (twin) this.forget({ host, member });
    }
  }

  private fresh(beginning: string): string {
    return `${beginning}-${++this.made}`;
  }
}
