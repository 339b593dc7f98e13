/** An administrator at work on the lab's hosts, beside the provider: with virsh, cp and what virt-clone would do. */
import { randomUUID } from "node:crypto";
import { copyFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import * as lab from "../lab";
import type { LabHost } from "../lab/lab.mjs";
import type { ActName, Undo } from "./acts";
import { chainOf, defineXml, domainsOn, plainXml, qemuImg, unlike, virsh, volumesOn, type LabDomain } from "./labGround";
import type { Ground, Picks } from "./life";

/** What can be done on the lab; the others need a host's whole past. */
export const LAB_ACTS = [
  "clone", "cloneOverItsDisk", "undefine", "undefineWithDisks", "rename", "detach", "detachAsAnother", "snapshot", "mergeSnapshot",
  "stop", "start", "pause", "makeVolume", "makeDomain", "takeName", "takeKeptDisk", "takeLeftover", "defineTwin",
  "hostDies", "hostReturns", "rewriteTemplate", "undo",
] as const satisfies readonly ActName[];

export const LAB: Ground = { acts: LAB_ACTS, kills: 0.85, running: 0.35, leastMembers: 2, mostMembers: 5 };

const pick = <T>(from: readonly T[], share: number): T | undefined => from[Math.floor(share * from.length)];
const TAG_URI = "urn:pulumi-vmfleet:libvirt:1";
const VOLUME_BYTES = 1 << 20;

export interface LabSite {
  labName: string;
  hosts: readonly LabHost[];
  fleetId: string;
  namePrefix: string;
  /** The template's volume, and other contents it may be given. */
  templatePath: string;
  templates: readonly string[];
}

export class LabAdministrator {
  readonly undos = new Map<string, Undo>();
  readonly log: string[] = [];
  /** Domains and files that are the administrator's own, by host: what the provider must leave as they are. */
  readonly domains = new Set<string>();
  readonly files = new Set<string>();
  /** Data disks of members that were undefined: nobody but the administrator can say that nobody wants them. */
  readonly orphans = new Set<string>();
  readonly down = new Set<string>();
  private made = 0;

  constructor(private readonly site: LabSite) {}

  async do(act: ActName, picks: Picks): Promise<boolean> {
    const did = await this.acts[act as (typeof LAB_ACTS)[number]](picks);
    if (did !== undefined) this.log.push(`${act}: ${did}`);
    return did !== undefined;
  }

  async undoAll(): Promise<void> {
    for (let [key] = this.undoable(); key !== undefined; [key] = this.undoable()) await this.undo(key);
  }

  /** Nothing can be put right on a host that is down: it comes back first. */
  private undoable(): string[] {
    const all = [...this.undos.keys()];
    const back = all.filter((one) => one.startsWith("down "));
    return back.length > 0 ? back : all;
  }

  private async undo(key: string): Promise<string> {
    const { what, run } = this.undos.get(key)!;
    this.undos.delete(key);
    await run();
    this.log.push(`undone: ${what}`);
    return what;
  }

  get answering(): LabHost[] {
    return this.site.hosts.filter((host) => !this.down.has(host.name));
  }

  /** Members by their tag and their own facts, on hosts that answer. */
  async members(): Promise<LabDomain[]> {
    const all = (await Promise.all(this.answering.map(domainsOn))).flat();
    return all.filter((domain) => domain.tag?.fleetId === this.site.fleetId && !this.domains.has(key(domain)) && domain.name === this.slotName(domain.tag.slot));
  }

  slotName = (slot: number): string => `${this.site.namePrefix}-${String(slot).padStart(3, "0")}`;

  private async member(share: number, accept: (domain: LabDomain) => boolean = () => true): Promise<LabDomain | undefined> {
    const snapshots = new Set([...this.undos.keys()].filter((one) => one.startsWith("overlay ")).map((one) => one.slice("overlay ".length)));
    const shared = new Set([...this.undos.keys()].filter((one) => one.startsWith("shared ")).map((one) => one.slice("shared ".length)));
    return pick((await this.members()).filter((one) => !snapshots.has(key(one)) && !shared.has(key(one)) && !/\.early\./.test(one.files[0] ?? "") && accept(one)), share);
  }

  private readonly acts: Record<(typeof LAB_ACTS)[number], (picks: Picks) => Promise<string | undefined>> = {
    clone: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await this.switchOff(member);
      const name = this.fresh(`${member.name}-clone`);
      let xml = unlike(member.xml, name, randomUUID());
      const below: string[] = [];
      for (const file of member.files) {
        const copy = file.replace(/(\.[^.]*)?$/, (ending) => `-${name.split("-").at(-1)}clone${ending}`);
        await copyFile(file, copy);
        this.files.add(copy);
        below.push(...(await chainOf(copy)).slice(1));
        xml = xml.replaceAll(`'${file}'`, `'${copy}'`);
      }
      await this.define(member.host, name, xml);
      if (below.length > 0) {
        // A replica stays as long as the fleet does; the base of a member that is not merged goes with that member.
        const onlyAtDestroy = below.every((image) => image.includes(".replica."));
        this.undos.set(`domain ${name}`, { what: `removes ${name}`, onlyAtDestroy, run: () => this.removeDomain(member.host, name) });
      }
      return `${member.name} on ${member.host.name} as ${name}`;
    },
    cloneOverItsDisk: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      const name = this.fresh(`${member.name}-copy`);
      await this.define(member.host, name, unlike(member.xml, name, randomUUID()));
      this.undos.set(`shared ${key(member)}`, { what: `undefines ${name}`, run: () => this.removeDomain(member.host, name) });
      return `${member.name} on ${member.host.name} as ${name}`;
    },
    undefine: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await this.switchOff(member);
      await virsh(member.host, "undefine", member.name);
      for (const file of member.files.slice(1)) this.orphans.add(basename(file));
      return `${member.name} on ${member.host.name}`;
    },
    undefineWithDisks: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await this.switchOff(member);
      await virsh(member.host, "undefine", member.name);
      const own = new RegExp(`\\.s${member.tag!.slot}\\.g${member.tag!.generation}\\.`);
      for (const volume of await volumesOn(member.host)) {
        if (volume.startsWith(`vmfleet-${this.site.fleetId}.`) && own.test(volume) && !this.files.has(join(member.host.poolDir, volume))) await virsh(member.host, "vol-delete", volume, "default");
      }
      return `${member.name} on ${member.host.name}`;
    },
    rename: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await this.switchOff(member);
      const name = this.fresh(`kept-${member.name}`);
      await virsh(member.host, "domrename", member.name, name);
      this.own(member.host, name, member.files);
      this.undos.set(`domain ${name}`, { what: `renames ${name} back`, run: async () => {
        if ((await this.members()).some((one) => one.tag!.slot === member.tag!.slot)) return this.giveItsOwnUuid(member.host, name);
        this.disown(member.host, name, member.files);
        await virsh(member.host, "domrename", name, member.name);
      } });
      return `${member.name} on ${member.host.name} to ${name}`;
    },
    detach: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await virsh(member.host, "metadata", member.name, TAG_URI, "--remove", "--config", ...(member.state === "shut off" ? [] : ["--live"]));
      this.own(member.host, member.name, member.files);
      this.undos.set(`domain ${key(member)}`, { what: `renames ${member.name}`, run: () => this.giveItsOwnUuid(member.host, member.name) });
      return `${member.name} on ${member.host.name}`;
    },
    detachAsAnother: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      await this.switchOff(member);
      const name = this.fresh(`own-${this.site.fleetId}-${member.tag!.slot}`);
      await virsh(member.host, "undefine", member.name);
      await this.define(member.host, name, unlike(member.xml, name, randomUUID()).replace(/<metadata>[^]*?<\/metadata>/, ""), member.files);
      if (member.tag!.kind === "linked") this.undos.set(`domain ${name}`, { what: `removes ${name}`, onlyAtDestroy: true, run: () => this.removeDomain(member.host, name) });
      return `${member.name} on ${member.host.name} as ${name}`;
    },
    snapshot: async ([which]) => {
      const member = await this.member(which);
      if (!member) return undefined;
      const overlay = join(member.host.poolDir, `${this.fresh(`${member.name}.snap`)}.qcow2`);
      const others = [...member.xml.matchAll(/<target dev='(vd\w+)'/g)].map(([, target]) => target!).filter((target) => target !== "vda");
      await virsh(member.host, "snapshot-create-as", member.name, "by-hand", "--disk-only", "--no-metadata", "--diskspec", `vda,file=${overlay}`,
        ...others.flatMap((target) => ["--diskspec", `${target},snapshot=no`]));
      this.files.add(overlay);
      this.undos.set(`overlay ${key(member)}`, { what: `merges the snapshot of ${member.name}`, run: () => this.merge(member, overlay) });
      return `${member.name} on ${member.host.name}`;
    },
    mergeSnapshot: async () => {
      const overlay = this.undoable().find((one) => one.startsWith("overlay "));
      return overlay && this.undo(overlay);
    },
    stop: async ([which]) => {
      const member = await this.member(which, (one) => one.state !== "shut off");
      if (member) await this.switchOff(member);
      return member && key(member);
    },
    start: async ([which]) => {
      const member = await this.member(which, (one) => one.state === "shut off");
      if (member) await virsh(member.host, "start", member.name);
      return member && key(member);
    },
    pause: async ([which]) => {
      const member = await this.member(which, (one) => one.state === "running");
      if (member) await virsh(member.host, "suspend", member.name);
      return member && key(member);
    },
    makeVolume: async ([where, what]) => {
      const host = pick(this.answering, where);
      if (!host) return undefined;
      const ours = (await volumesOn(host)).find((volume) => volume.startsWith(`vmfleet-${this.site.fleetId}.`) && volume.endsWith(".qcow2"));
      const name = what < 0.5 || ours === undefined ? this.fresh(`iso-${this.site.fleetId}`) : ours.replace(/\.qcow2$/, `-${++this.made}copy.qcow2`);
      await virsh(host, "vol-create-as", "default", name, String(VOLUME_BYTES), "--format", name.endsWith(".qcow2") ? "qcow2" : "raw");
      this.files.add(join(host.poolDir, name));
      return `${name} on ${host.name}`;
    },
    makeDomain: async ([where, what]) => {
      const host = pick(this.answering, where);
      if (!host) return undefined;
      const name = this.fresh(`${this.site.namePrefix}-somebodys`);
      const file = join(host.poolDir, `${name}.raw`);
      await virsh(host, "vol-create-as", "default", basename(file), String(VOLUME_BYTES));
      this.files.add(file);
      await this.define(host, name, plainXml(name, `<disk type='file' device='disk'><source file='${file}'/><target dev='vda' bus='virtio'/></disk>`));
      if (what < 0.3) await virsh(host, "start", name);
      return `${name} on ${host.name}`;
    },
    takeName: async ([where, which]) => {
      const host = pick(this.answering, where);
      const name = this.slotName(Math.floor(which * 10));
      if (!host || (await domainsOn(host)).some((domain) => domain.name === name)) return undefined;
      await this.define(host, name, plainXml(name, ""));
      this.undos.set(`domain ${name} on ${host.name}`, { what: `renames ${name}`, run: () => this.giveItsOwnUuid(host, name) });
      return `${name} on ${host.name}`;
    },
    takeKeptDisk: ([which]) => this.takeVolume(which, (name) => name.includes(".disk-keep.")),
    takeLeftover: ([which]) => this.takeVolume(which, () => true),
    defineTwin: async ([which, where]) => {
      const member = await this.member(which);
      const host = pick(this.answering.filter((one) => one.name !== member?.host.name), where);
      if (!member || !host || (await domainsOn(host)).some(({ name, uuid }) => name === member.name || uuid === member.uuid)) return undefined;
      await this.define(host, member.name, member.xml);
      this.undos.set(`domain ${member.name} on ${host.name}`, { what: `undefines ${member.name} on ${host.name}`, run: () => this.removeDomain(host, member.name) });
      return `${member.name} of ${member.host.name} on ${host.name}`;
    },
    hostDies: async ([which, how]) => {
      const host = this.answering.length > 2 ? pick(this.answering, which) : undefined;
      if (!host) return undefined;
      await (how < 0.5 ? lab.killHost : lab.killDaemon)({ name: this.site.labName, host: host.name });
      this.down.add(host.name);
      this.undos.set(`down ${host.name}`, { what: `${host.name} is back`, run: async () => {
        await lab.startDaemon({ name: this.site.labName, host: host.name });
        this.down.delete(host.name);
      } });
      return `${host.name}${how < 0.5 ? ", its guests with it" : ""}`;
    },
    hostReturns: async ([which]) => {
      const down = pick([...this.undos.keys()].filter((one) => one.startsWith("down ")), which);
      return down && this.undo(down);
    },
    rewriteTemplate: async ([what]) => {
      const from = pick(this.site.templates, what)!;
      await rm(this.site.templatePath);
      await copyFile(from, this.site.templatePath);
      return basename(from);
    },
    undo: async ([which]) => {
      const one = pick(this.undoable(), which);
      return one && this.undo(one);
    },
  };

  /** One that no domain names. */
  private async takeVolume(which: number, accept: (name: string) => boolean): Promise<string | undefined> {
    const free = (await Promise.all(this.answering.map(async (host) => {
      const used = (await domainsOn(host)).map((domain) => domain.xml).join("\n");
      const chained = (await Promise.all((await domainsOn(host)).flatMap(({ files }) => files).map((file) => chainOf(file).catch(() => [])))).flat().join("\n");
      return (await volumesOn(host)).filter((name) => name.startsWith(`vmfleet-${this.site.fleetId}.`) && /\.s\d+\.g\d+\./.test(name) && accept(name) &&
        !used.includes(name) && !chained.includes(name) && !this.files.has(join(host.poolDir, name))).map((name) => ({ host, name }));
    }))).flat();
    const one = pick(free, which);
    if (one) await virsh(one.host, "vol-delete", one.name, "default");
    return one && `${one.name} on ${one.host.name}`;
  }

  private async define(host: LabHost, name: string, xml: string, files: readonly string[] = []): Promise<void> {
    await defineXml(host, xml);
    this.own(host, name, files);
  }

  private own(host: LabHost, name: string, files: readonly string[]): void {
    this.domains.add(`${name} on ${host.name}`);
    for (const file of files) this.files.add(file);
  }

  private disown(host: LabHost, name: string, files: readonly string[]): void {
    this.domains.delete(`${name} on ${host.name}`);
    for (const file of files) this.files.delete(file);
  }

  private async switchOff({ host, name, state }: LabDomain): Promise<void> {
    if (state !== "shut off") await virsh(host, "destroy", name);
  }

  /**
   * With the files of its host that are its own alone: a definition brought from another host names files of that one, which
   * only the hosts of a lab, on one file system, could remove.
   */
  async removeDomain(host: LabHost, name: string): Promise<void> {
    const found = (await domainsOn(host)).find((domain) => domain.name === name);
    if (!found) return;
    await this.switchOff(found);
    await virsh(host, "undefine", name);
    this.domains.delete(`${name} on ${host.name}`);
    for (const file of found.files.filter((one) => this.files.has(one) && one.startsWith(`${host.poolDir}/`))) {
      await rm(file, { force: true });
      this.files.delete(file);
    }
    await virsh(host, "pool-refresh", "default");
  }

  private async giveItsOwnUuid(host: LabHost, name: string): Promise<void> {
    const found = (await domainsOn(host)).find((domain) => domain.name === name);
    if (!found) return;
    await this.switchOff(found);
    await virsh(host, "undefine", name);
    this.domains.delete(`${name} on ${host.name}`);
    const another = this.fresh(`own-${this.site.fleetId}`);
    await this.define(host, another, unlike(found.xml, another, randomUUID()), found.files);
    this.undos.set(`domain ${another}`, { what: `removes ${another}`, onlyAtDestroy: true, run: () => this.removeDomain(host, another) });
  }

  /** As virsh blockcommit does of a running guest, and qemu-img of a stopped one. */
  private async merge(member: LabDomain, overlay: string): Promise<void> {
    const now = (await domainsOn(member.host)).find((domain) => domain.name === member.name);
    this.files.delete(overlay);
    if (!now || !now.files.includes(overlay)) return;
    if (now.state !== "shut off") await virsh(member.host, "destroy", member.name);
    await qemuImg("commit", "-q", "-f", "qcow2", overlay);
    // As it ran its definition names what the overlay stood on: the disk would stand on itself.
    const alone = now.xml.replace(/<disk [^]*?<\/disk>/g, (disk) => disk.replace(/<backingStore[ >][^]*<\/backingStore>/, "").replace(/<backingStore\/>/, ""));
    await defineXml(member.host, alone.replaceAll(`'${overlay}'`, `'${member.files[0]!}'`));
    await rm(overlay);
    await virsh(member.host, "pool-refresh", "default");
  }

  private fresh(beginning: string): string {
    return `${beginning}-${++this.made}`;
  }
}

export const key = ({ name, host }: Pick<LabDomain, "name" | "host">): string => `${name} on ${host.name}`;
