/** A life on the simulator: the real engine, planner and record over hosts in memory, judged after every run. */
import { applyFleet, FleetRefusedError, FleetRunError, previewFleet, refreshFleet, removeFleet, type RunRequest } from "../../provider/engine";
import { type FleetPlan, type FleetSpec, type FleetState, hostsToObserve } from "../../provider/fleet";
import { slotKey } from "../../provider/hypervisors/simulated/world";
import { createSimulated, type SimulatedHypervisor, type VirtualClock } from "../../provider/hypervisors/simulated";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";
import { COSTS, IMAGE_BYTES, inputs, specOf } from "../engine/world";
import { crashing, recording } from "../engine/wrappers";
import { Administrator } from "./administrator";
import { harmDone, heldTwice, leftBehind, membersOf, survey, unfinished } from "./judge";
import { asksForConsent, LifeFailed } from "./verdict";
import { HOSTS, merged, type Declared, type Life, type Step } from "./life";

const FLEET_ID = "fleetaaaaa";
/** Of a run of these small fleets; a kill at a later call is a kill after the end. */
const MOST_CALLS = 60;
const BOOT_SECONDS = 3;

export interface LifeReport {
  runs: number;
  kills: number;
  acts: number;
}

/** @throws LifeFailed */
export function liveSimulated(life: Life): Promise<LifeReport> {
  return new SimulatedLife(life).live();
}

class SimulatedLife {
  private readonly hypervisor: SimulatedHypervisor;
  private readonly clock: VirtualClock;
  private readonly administrator: Administrator;
  private readonly hostNames: string[];
  private declared: Declared;
  private previous: FleetState | undefined;
  private incarnation = 1;
  /** Hosts on which the administrator brought something back after the fleet had left them: nobody told the provider. */
  private readonly outOfSight = new Set<string>();
  private at = "the beginning";
  private readonly report: LifeReport = { runs: 0, kills: 0, acts: 0 };

  constructor(private readonly life: Life) {
    this.declared = life.declared;
    const all = specOf(this.inputs({ ...life.declared, hosts: HOSTS, targets: { count: 0 } }, []));
    ({ hypervisor: this.hypervisor, clock: this.clock } = createSimulated({ spec: all, options: { costs: { ...COSTS, bootSeconds: BOOT_SECONDS } } }));
    this.hostNames = all.hosts.map((host) => host.name);
    this.administrator = new Administrator(this.hypervisor, FLEET_ID, this.hostNames);
  }

  async live(): Promise<LifeReport> {
    for (const [index, step] of this.life.steps.entries()) {
      this.at = `step ${index + 1} (${step.kind === "act" ? step.act : step.kind})`;
      await this.take(step);
    }
    this.at = "the destroy at the end";
    await this.destroy();
    return this.report;
  }

  private async take(step: Step): Promise<void> {
    switch (step.kind) {
      case "declare":
        this.declared = merged(this.declared, step.change);
        return;
      case "act":
        if (this.byHand(() => this.administrator.do(step.act, step.picks))) this.report.acts++;
        return;
      case "silence": {
        const { silent } = this.hypervisor.guests;
        silent.add(step.slot);
        this.administrator.undos.set(`silence ${step.slot}`, { what: `lets the guest of slot ${step.slot} speak`, run: () => void silent.delete(step.slot) });
        return;
      }
      case "refresh": {
        const before = survey(this.hosts, FLEET_ID);
        const seen = await refreshFleet(this.request(this.spec(), this.hypervisor));
        this.judge(before, this.spec());
        // null: Pulumi forgets the resource, and the next up is a create.
        if (this.previous) this.forgetOr(seen);
        return;
      }
      case "up":
        return this.up(step);
    }
  }

  private forgetOr(state: FleetState | null): void {
    if (state === null) this.incarnation++;
    this.previous = state ?? undefined;
  }

  private async up(step: Extract<Step, { kind: "up" }>): Promise<void> {
    if (step.kill) await this.killedUp(step.kill);
    const { lockLostAfterSeconds: after } = step;
    if (after !== undefined) {
      const cancel = this.clock.at(this.clock.nowMs() + after * 1000, () => this.hypervisor.loseLocks(), { daemon: true });
      await this.tried(this.spec());
      cancel();
    }
    if (step.during) await this.disturbedUp(step.during);
    let failure = await this.tried(this.spec());
    if (failure) {
      const standing = [...this.administrator.undos.values()].filter((undo) => !undo.onlyAtDestroy).map((undo) => undo.what);
      if (standing.length === 0 && !asksForConsent(failure)) this.fail([`up failed although nothing stood in its way: ${failure.message}`]);
      this.byHand(() => this.administrator.undoAll());
      this.declared = { ...this.declared, allowRecreate: true, abandon: false };
      failure = await this.tried(this.spec());
      if (failure) this.fail([`up failed after all was put right (${standing.join(", ")}): ${failure.message}`]);
    }
    if (heldTwice(this.hosts, FLEET_ID)) return;
    const left = unfinished(this.inSight.filter((host) => !this.spec().abandonHosts.includes(host.name)), FLEET_ID, this.spec());
    if (left.length > 0) this.fail(left);
    await this.secondUp();
  }

  /** Nobody knows how the dying run ends: what it would have said reaches nobody. */
  private async killedUp({ share, when }: { share: number; when: "before" | "after" }): Promise<void> {
    const before = survey(this.hosts, FLEET_ID);
    const { hypervisor } = crashing(this.hypervisor, 1 + Math.floor(share * MOST_CALLS), when);
    const spec = this.spec();
    this.report.runs++;
    this.report.kills++;
    await applyFleet(this.request(spec, hypervisor)).then(() => undefined, () => undefined);
    this.judge(before, spec);
    // What a create that died made is taken over by the next one.
    if (!this.previous) this.incarnation++;
  }

  /** What it finds at its end may be another fleet than it began with: only that it harms nobody is certain. */
  private async disturbedUp({ act, picks, afterSeconds }: NonNullable<Extract<Step, { kind: "up" }>["during"]>): Promise<void> {
    let before = survey(this.hosts, FLEET_ID);
    const spec = this.spec();
    this.report.runs++;
    let acted = false;
    const cancel = this.clock.at(this.clock.nowMs() + afterSeconds * 1000, () => {
      acted = this.byHand(() => this.administrator.do(act, picks));
      // Who goes was decided on what stood there before: that is judged where nobody interferes.
      if (acted) before = { ...survey(this.hosts, FLEET_ID), living: [] };
    }, { daemon: true });
    try {
      this.previous = (await applyFleet(this.request(spec, this.hypervisor))).state;
    } catch (error) {
      if (error instanceof FleetRunError) this.previous = error.state;
      else if (!(error instanceof FleetRefusedError)) throw error;
    } finally {
      cancel();
    }
    if (acted) {
      this.report.acts++;
      // It asked for what was right when it looked.
      for (const host of this.hosts) host.byHand.offences.length = 0;
    }
    this.judge(before, spec);
  }

  /** One run to its end. @returns why it failed */
  private async tried(spec: FleetSpec): Promise<FleetRunError | FleetRefusedError | undefined> {
    const before = survey(this.hosts, FLEET_ID);
    this.report.runs++;
    const preview = await this.preview(spec);
    try {
      const { state, plan } = await applyFleet(this.request(spec, this.hypervisor));
      this.previous = state;
      const [said, did] = [preview.plan, plan].map(({ create, destroy, reconfigure }) => JSON.stringify([reconfigure.map(({ slot, changes }) => [slot, changes]), ...[create, destroy].map((all) => all.map(({ slot, host, generation }) => [slot, host, generation])), create.map(({ reattach }) => reattach)]));
      if (preview.plan.problems.length > 0 || said !== did) this.fail([`the preview said ${said} ${JSON.stringify(preview.plan.problems)}, up did ${did}`]);
      this.judgeLive(plan);
      return undefined;
    } catch (error) {
      if (error instanceof FleetRunError) this.previous = error.state;
      else if (!(error instanceof FleetRefusedError)) throw error;
      return error;
    } finally {
      this.judge(before, spec);
    }
  }

  /** What was to be there at once is there, as far as a member still runs. */
  private judgeLive({ reconfigure }: FleetPlan): void {
    const wrong = reconfigure.flatMap(({ host, slot, name, changes }) => changes.flatMap((change) => {
      const running = this.hypervisor.host(host).members.get(slotKey(FLEET_ID, slot))?.running;
      return change.kind === "hardware" && change.live?.includes("cpus") && running && running.numCpus !== change.numCpus ? [`${name} runs with ${running.numCpus} CPUs, expected ${change.numCpus} at once`] : [];
    }));
    if (wrong.length > 0) this.fail(wrong);
  }

  private async preview(spec: FleetSpec): Promise<Awaited<ReturnType<typeof previewFleet>>> {
    const observation = await this.hypervisor.observe({
      fleetId: FLEET_ID, namePrefix: spec.namePrefix, hosts: hostsToObserve(spec, this.previous), spec, deadlineMs: 1000, preflight: true,
    });
    return previewFleet({ spec, fleetId: FLEET_ID, incarnation: this.incarnationName, previous: this.previous, observation });
  }

  private async secondUp(): Promise<void> {
    const spec = this.spec();
    const { hypervisor, calls } = recording(this.hypervisor);
    const { state } = await applyFleet(this.request(spec, hypervisor));
    const did = calls.filter((call) => call !== "lock" && call !== "observe");
    if (did.length > 0) this.fail([`the second up was not empty: ${did.join(", ")}`]);
    this.previous = state;
  }

  private async destroy(): Promise<void> {
    const before = survey(this.hosts, FLEET_ID);
    const attempt = (): Promise<Error | undefined> => removeFleet(this.request(this.spec(), this.hypervisor)).then(() => undefined, (error: Error) => {
      if (error instanceof FleetRunError) this.previous = error.state;
      return error;
    });
    const adopted = await this.tried(this.spec());
    let failure = await attempt();
    if (failure || adopted) {
      if (this.administrator.undos.size === 0 && ![adopted, failure].some(asksForConsent)) this.fail([`destroy failed although nothing stood in its way: ${(failure ?? adopted)!.message}`]);
      this.byHand(() => this.administrator.undoAll());
      // Members of a create that died are this resource's once an up took them over.
      this.declared = { ...this.declared, allowRecreate: true, abandon: false };
      const again = await this.tried(this.spec());
      if (again) this.fail([`up failed after all was put right: ${again.message}`]);
      failure = await attempt();
      if (failure) this.fail([`destroy failed after all was put right: ${failure.message}`]);
    } else if (this.administrator.undos.size === 0) {
      const changed = [...before.foreign].filter(([what, was]) => survey(this.hosts, FLEET_ID).foreign.get(what) !== was).map(([what]) => `${what} was changed`);
      if (changed.length > 0) this.fail(changed);
    }
    const left = leftBehind(this.inSight.filter((host) => host.down === undefined), FLEET_ID);
    if (left.length > 0 && !heldTwice(this.hosts, FLEET_ID)) this.fail(left);
  }

  private judge(before: ReturnType<typeof survey>, spec: FleetSpec): void {
    const harm = harmDone(before, this.hosts, FLEET_ID, spec, this.previous, this.contentId);
    if (harm.length > 0) this.fail(harm);
  }

  /** Does it, and marks the hosts where members came back that neither the program nor the record leads to. */
  private byHand<T>(act: () => T): T {
    const seen = (): Map<string, number> => new Map(this.hosts.map((host) => [host.name, host.down === undefined ? membersOf(host, FLEET_ID).length : 0]));
    const before = seen();
    const did = act();
    const known = new Set(hostsToObserve(this.spec(), this.previous).map((host) => host.name));
    for (const [name, members] of seen()) if (members > before.get(name)! && !known.has(name)) this.outOfSight.add(name);
    return did;
  }

  /** Hosts that the fleet can know of, by the program, by its record, or as nothing came back there behind its back. */
  private get inSight() {
    const known = new Set(hostsToObserve(this.spec(), this.previous).map((host) => host.name));
    return this.hosts.filter((host) => known.has(host.name) || !this.outOfSight.has(host.name));
  }

  private fail(findings: readonly string[]): never {
    throw new LifeFailed(findings, this.at, this.administrator.log);
  }

  private get hosts() {
    return this.hostNames.map((name) => this.hypervisor.host(name));
  }

  private get contentId(): string {
    return this.hypervisor.contentId;
  }

  private get incarnationName(): string {
    return `incarnation${this.incarnation}`;
  }

  private request(spec: FleetSpec, hypervisor: Hypervisor): RunRequest {
    return { spec, fleetId: FLEET_ID, incarnation: this.incarnationName, previous: this.previous, hypervisor, clock: this.clock, holder: "campaign" };
  }

  private spec(): FleetSpec {
    const down = this.declared.abandon ? this.hosts.filter((host) => host.down !== undefined).map((host) => host.name) : [];
    return specOf(this.inputs(this.declared, down));
  }

  private inputs(declared: Declared, abandonHosts: string[]): Record<string, unknown> {
    const {
      hosts, targets, start, powerOn, clone, policy, keepSeeds, onTemplateChange, allowRecreate, memory, numCpus = 1, ceilings, disks, grownMebibytes, hostname, waitFor = "started", maxConfiguring,
    } = declared;
    const all = inputs(HOSTS, 2);
    const named = (all.hosts as Record<string, unknown>[]).slice(0, hosts);
    return {
      ...all, start, powerOn, clone, policy, keepSeeds, onTemplateChange, allowRecreate, abandonHosts,
      hosts: "counts" in targets ? named.map((host, index) => ({ ...host, count: targets.counts[index] })) : named,
      ...("counts" in targets ? {} : targets),
      ...(this.life.template === "file" && { template: { file: "./golden.qcow2" } }),
      vm: { numCpus, memory, ...ceilings, networks: [{ network: "default" }], domainType: "qemu", disks, ...(grownMebibytes !== undefined && { rootDisk: { sizeBytes: IMAGE_BYTES + grownMebibytes * 2 ** 20 } }) },
      ...(waitFor !== "started" && { waitFor, waitForTimeoutSeconds: 5 * BOOT_SECONDS, maxConfiguring }),
      ...(hostname !== undefined && { guest: hostname === false ? "none" : { hostname } }),
    };
  }
}
