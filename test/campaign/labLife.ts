/** A life on the lab: a provider of its own process, killed; an administrator with virsh; and a judge who asks neither. */
import { randomBytes } from "node:crypto";
import { copyFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { applyFleet, FleetRefusedError, FleetRunError, realClock, removeFleet } from "../../provider/engine";
import type { FleetSpec, FleetState } from "../../provider/fleet";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";
import { recording } from "../engine/wrappers";
import { specOf } from "../hypervisors/libvirt/labFleet";
import { buildImage } from "../lab/image.mjs";
import type { Lab } from "../lab/lab.mjs";
import type { Providers } from "./kill";
import { contentOf, qemuIo, sha256, virsh } from "./labGround";
import { LabAdministrator, type LabSite } from "./labAdministrator";
import { labHarm, labLeftBehind, labUnfinished, surveyLab, type LabSurvey } from "./labJudge";
import { HOSTS, merged, type Declared, type Life, type Step } from "./life";
import { asksForConsent, LifeFailed } from "./verdict";

const MIB = 1 << 20;
const VIRTUAL_BYTES = 6 * MIB;
/** Images of different sizes differ. */
const DATA_BYTES = [3 * MIB, 2.5 * MIB, 2 * MIB];
/** Where the campaign writes what a guest would: no template has anything there. */
const MARK_OFFSET = "5M";

/** Calls of a run: some to begin with, and those of each member. */
const callsOf = (members: number): number => 3 + 4 * members;
/** In a row, each a run of its own, before the one that must end well. */
const MOST_KILLS = 3;

export interface LabReport {
  runs: number;
  kills: number;
  acts: number;
  /** Runs that failed at first although nothing stood in their way, and ended well when tried again. */
  stumbles: string[];
}

export interface LabGroundOptions {
  lab: Lab;
  providers: Providers;
  log?: (line: string) => void;
}

/** Templates of different contents, made once and kept by the lab's cache. */
async function templates(): Promise<string[]> {
  const made: string[] = [];
  for (const dataBytes of DATA_BYTES) made.push((await buildImage({ virtualBytes: VIRTUAL_BYTES, dataBytes })).disk);
  return made;
}

export async function liveOnLab(life: Life, options: LabGroundOptions): Promise<LabReport> {
  const disks = await templates();
  const fleetId = `c${randomBytes(4).toString("hex")}`;
  const holder = options.lab.hosts[0]!;
  const volume = `golden-${fleetId}.qcow2`;
  const site: LabSite = {
    labName: options.lab.name, hosts: options.lab.hosts.slice(0, HOSTS), fleetId, namePrefix: `c${randomBytes(3).toString("hex")}`,
    templatePath: join(holder.poolDir, volume), templates: disks,
  };
  await copyFile(disks[0]!, site.templatePath);
  await virsh(holder, "pool-refresh", "default");
  const hashes = new Set(await Promise.all(disks.map(async (disk) => sha256(await contentOf(disk)))));
  const one = new LabLife(life, site, volume, hashes, options);
  try {
    return await one.live();
  } finally {
    await one.cleanUp();
  }
}

class LabLife {
  readonly administrator: LabAdministrator;
  private declared: Declared;
  private previous: FleetState | undefined;
  private incarnation = 1;
  private at = "the beginning";
  /** As it was judged last, while nothing has been done since. */
  private judged: LabSurvey | undefined;
  /** Of each content that a member was ever seen with, which file the template was. */
  private readonly clonedFrom = new Map<string, string>();
  private readonly report: LabReport = { runs: 0, kills: 0, acts: 0, stumbles: [] };

  constructor(
    private readonly life: Life, private readonly site: LabSite, private readonly volume: string, private readonly templateHashes: ReadonlySet<string>,
    private readonly options: LabGroundOptions,
  ) {
    this.declared = life.declared;
    this.administrator = new LabAdministrator(site);
  }

  async live(): Promise<LabReport> {
    for (const [index, step] of this.life.steps.entries()) {
      this.at = `step ${index + 1} (${step.kind === "act" ? step.act : step.kind})`;
      await this.guarded(() => this.take(step));
    }
    this.at = "the destroy at the end";
    await this.guarded(() => this.destroy());
    return this.report;
  }

  /** What goes wrong in the campaign's own tools is told with the history, too. */
  private async guarded(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      if (error instanceof LifeFailed) throw error;
      throw new LifeFailed([(error as Error).stack ?? String(error)], this.at, this.administrator.log);
    }
  }

  private async take(step: Step): Promise<void> {
    if (step.kind === "declare") this.declared = merged(this.declared, step.change);
    else if (step.kind === "act") {
      this.judged = undefined;
      this.report.acts += await this.administrator.do(step.act, step.picks) ? 1 : 0;
    }
    else if (step.kind === "up") await this.up(step);
  }

  private async up({ kill, during }: Extract<Step, { kind: "up" }>): Promise<void> {
    for (let time = 0; kill && time < MOST_KILLS; time++) if (!await this.killedUp((kill.share + time * 0.37) % 1, during)) break;
    let failure = await this.tried();
    const standing = [...this.administrator.undos.values()].filter((undo) => !undo.onlyAtDestroy).map((undo) => undo.what);
    if (failure && standing.length === 0 && failure instanceof FleetRunError) {
      this.report.stumbles.push(`seed ${this.life.seed}, ${this.at}: ${failure.message}`);
      failure = await this.tried();
    }
    if (failure) {
      if (standing.length === 0 && !asksForConsent(failure)) this.fail([`up failed although nothing stood in its way: ${failure.message}`]);
      this.administrator.log.push(`up failed: ${failure.message}`);
      await this.putRight();
      this.declared = { ...this.declared, allowRecreate: true, abandon: false };
      failure = await this.tried();
      if (failure) this.fail([`up failed after all was put right (${standing.join(", ")}): ${failure.message}`]);
    }
    const after = await this.survey();
    const left = await labUnfinished(this.site, after, this.spec(), this.administrator);
    if (left.length > 0) this.fail(left);
    await this.secondUp();
    await this.mark(after);
  }

  /** @returns whether it was killed: else it had ended before */
  private async killedUp(share: number, during: Extract<Step, { kind: "up" }>["during"]): Promise<boolean> {
    const before = await this.survey();
    const spec = this.spec();
    const wanted = spec.targets.kind === "count" ? spec.targets.count : spec.targets.kind === "each"
      ? Object.values(spec.targets.counts).reduce((sum, n) => sum + n, 0) : spec.targets.countPerHost * spec.hosts.length;
    const atCall = 1 + Math.floor(share * callsOf(Math.max(2, Math.abs(wanted - before.living.length))));
    const afterMs = Math.floor((share * 10_000) % 1 * 150);
    const death = await this.options.providers.killed({
      inputs: this.inputs(), fleetId: this.site.fleetId, incarnation: this.incarnationName, previous: this.previous,
      // The wall clock of the provider's machine may be set while it runs.
      ...(during && { clockJump: { afterMs: during.afterSeconds * 500, byMs: (during.picks[0] - 0.5) * 7_200_000 } }),
    }, atCall, afterMs);
    this.report.runs++;
    if (death.killed) {
      this.report.kills++;
      this.administrator.log.push(`killed ${afterMs} ms after call ${death.calls} (${death.call})`);
      if (!this.previous) this.incarnation++;
    } else if ("state" in death.word && death.word.state) this.previous = death.word.state;
    else if (!this.previous) this.incarnation++;
    await this.judge(before, spec);
    return death.killed;
  }

  private async putRight(): Promise<void> {
    this.judged = undefined;
    await this.administrator.undoAll();
  }

  private survey(): Promise<LabSurvey> | LabSurvey {
    return this.judged ?? surveyLab(this.site, this.administrator);
  }

  private async tried(): Promise<Error | undefined> {
    const before = await this.survey();
    const spec = this.spec();
    const hypervisor = createLibvirt({ spec });
    this.report.runs++;
    let failure: Error | undefined;
    try {
      this.previous = (await applyFleet(this.request(spec, hypervisor))).state;
    } catch (error) {
      if (error instanceof FleetRunError) this.previous = error.state;
      else if (!(error instanceof FleetRefusedError)) throw error;
      failure = error;
    } finally {
      await hypervisor.close();
    }
    await this.judge(before, spec);
    return failure;
  }

  private async secondUp(): Promise<void> {
    const spec = this.spec();
    const libvirt = createLibvirt({ spec });
    const { hypervisor, calls } = recording(libvirt);
    try {
      this.previous = (await applyFleet(this.request(spec, hypervisor))).state;
    } finally {
      await libvirt.close();
    }
    const did = calls.filter((call) => !["lock", "observe", "sharedStores"].includes(call));
    if (did.length > 0) this.fail([`the second up was not empty: ${did.join(", ")}`]);
  }

  /** Writes what a guest would have written, into each stopped member that has no mark yet. */
  private async mark({ members, contents }: LabSurvey): Promise<void> {
    this.judged = undefined;
    await Promise.all(members.filter(({ state }) => state === "shut off").map(async (member) => {
      const { host, tag, files } = member;
      if (!this.templateHashes.has(contents.get(`${host.name}/${tag!.slot}/${tag!.generation}`) ?? "")) return;
      await qemuIo("-f", "qcow2", "-c", `write -P ${1 + (tag!.slot * 7 + tag!.generation) % 250} ${MARK_OFFSET} 64k`, files[0]!);
    }));
  }

  private async destroy(): Promise<void> {
    const adopted = await this.tried();
    let failure = await this.removed();
    if (failure || adopted) {
      if (this.administrator.undos.size === 0 && ![adopted, failure].some(asksForConsent)) {
        this.report.stumbles.push(`seed ${this.life.seed}, ${this.at}: ${(failure ?? adopted)!.message}`);
      }
      await this.putRight();
      this.declared = { ...this.declared, allowRecreate: true, abandon: false };
      const again = await this.tried();
      if (again) this.fail([`up failed after all was put right: ${again.message}`]);
      failure = await this.removed();
      if (failure) this.fail([`destroy failed after all was put right: ${failure.message}`]);
    }
    const left = await labLeftBehind(this.site, await surveyLab(this.site, this.administrator), this.administrator);
    if (left.length > 0) this.fail(left);
  }

  /** A destroy loses every member, as it should: all else must be as it was. */
  private async removed(): Promise<Error | undefined> {
    const before = await this.survey();
    const spec = this.spec();
    const hypervisor = createLibvirt({ spec });
    let failure: Error | undefined;
    try {
      await removeFleet(this.request(spec, hypervisor));
      this.previous = undefined;
    } catch (error) {
      if (error instanceof FleetRunError) this.previous = error.state;
      failure = error as Error;
    } finally {
      await hypervisor.close();
    }
    await this.judge({ ...before, living: [] }, spec);
    return failure;
  }

  private async judge(before: LabSurvey, spec: FleetSpec): Promise<void> {
    const after = this.judged = await surveyLab(this.site, this.administrator);
    const isCurrent = await this.learnContents(before, after);
    const harm = await labHarm(before, after, spec, this.previous, isCurrent, this.templateHashes, this.administrator);
    if (harm.length > 0) this.fail(harm);
  }

  /**
   * Which file a content was cloned from: nobody but the provider knows what it calls a file's content, and a run that was
   * killed has told nobody. No file is rewritten while a run lasts, so what appears in one is of the file as it stands.
   */
  private async learnContents(before: LabSurvey, after: LabSurvey): Promise<(contentId: string) => boolean> {
    const { ino, mtimeNs } = await stat(this.site.templatePath, { bigint: true });
    const template = `${ino} ${mtimeNs}`;
    const old = new Set(before.living.map(({ contentId }) => contentId));
    for (const { contentId } of after.living) if (!old.has(contentId) && !this.clonedFrom.has(contentId)) this.clonedFrom.set(contentId, template);
    return (contentId) => this.clonedFrom.get(contentId) === template;
  }

  private fail(findings: readonly string[]): never {
    throw new LifeFailed(findings, this.at, this.administrator.log);
  }

  private get incarnationName(): string {
    return `incarnation${this.incarnation}`;
  }

  private request(spec: FleetSpec, hypervisor: Hypervisor) {
    return { spec, fleetId: this.site.fleetId, incarnation: this.incarnationName, previous: this.previous, hypervisor, clock: realClock, holder: "campaign" };
  }

  private spec(): FleetSpec {
    return specOf(this.inputs());
  }

  private inputs(): Record<string, unknown> {
    const { hosts, targets, start, powerOn, clone, policy, keepSeeds, onTemplateChange, allowRecreate, memory, numCpus = 1, ceilings, disks, hostname, abandon } = this.declared;
    const { lab } = this.options;
    const named = this.site.hosts.slice(0, hosts).map((host, index) => ({
      name: host.name, uri: host.uri, rack: host.rack, pool: "default", transferAddress: host.address, nicBitsPerSecond: host.nicBitsPerSecond,
      ...("counts" in targets && { count: targets.counts[index] }),
    }));
    return {
      namePrefix: this.site.namePrefix, start, powerOn, clone, policy, keepSeeds, onTemplateChange, allowRecreate,
      abandonHosts: abandon ? [...this.administrator.down] : [],
      template: { host: this.site.hosts[0]!.name, pool: "default", volume: this.volume },
      racks: lab.racks.filter(({ name }) => named.some(({ rack }) => rack === name)).map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond })),
      hosts: named,
      ...("counts" in targets ? {} : targets),
      // No kernel: such a guest waits in its firmware, and writes nothing.
      vm: { numCpus, memory: memory / 8, ...(ceilings && { maxCpus: ceilings.maxCpus, maxMemory: ceilings.maxMemory / 8 }), networks: [{ network: "default" }], domainType: "qemu", disks },
      ...(hostname !== undefined && { guest: hostname === false ? "none" : { hostname } }),
      allowUnauthenticatedTcp: true, shutdownTimeout: 0, connectTimeout: 5, stallTimeout: 5, lockTimeout: 90,
    };
  }

  /** Whatever happened, the lab is as it was. */
  async cleanUp(): Promise<void> {
    for (const [key, undo] of this.administrator.undos) if (key.startsWith("down ")) await undo.run();
    const { fleetId, namePrefix } = this.site;
    await Promise.all(this.site.hosts.map(async (host) => {
      const names = (await virsh(host, "list", "--all", "--name")).split("\n").map((name) => name.trim()).filter((name) => name.includes(fleetId) || name.includes(namePrefix));
      for (const name of names) {
        await virsh(host, "destroy", name).catch(() => undefined);
        await virsh(host, "undefine", name, "--snapshots-metadata", "--managed-save").catch(() => undefined);
      }
      for (const volume of (await virsh(host, "vol-list", "default")).split("\n").map((line) => line.trim().split(/\s+/)[0]!)) {
        if (volume.includes(fleetId) || volume.includes(namePrefix)) await rm(join(host.poolDir, volume), { force: true });
      }
      await virsh(host, "pool-refresh", "default");
    }));
  }
}
