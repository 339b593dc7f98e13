import type { FleetPlan, Observation, ObservedMember, PlannedCreate, PolicyName } from "../fleet/model";
import { type Policy, topologyOf } from "../scheduler";
import { BaseKeeper } from "./bases";
import { operate, type RunContext } from "./context";
import { Distributor } from "./distributor";
import { TransferLog } from "./log";
import { changeMember, makeMember } from "./members";
import { SourcePool } from "./pool";
import { addStandingSources, declaredHosts, isFrozenSource, replicaLabel, upload } from "./sources";

/** What a run did; failures are in the context. */
export interface Execution {
  log: TransferLog;
  policy: PolicyName | "none";
  created: number;
  destroyed: number;
  reconfigured: number;
}

export interface ExecuteOptions {
  time: "network" | "unit";
  /** Called when copies must be made: the policy that decides which source feeds which host. */
  choosePolicy: (pool: SourcePool) => Policy;
}

const key = (host: string, slot: number) => `${slot}@${host}`;

/**
 * Runs a plan that was accepted, against whatever hypervisor the context has: the real one, or the simulator for a
 * preview. Resolves when nothing is under way any more, cancelled or not.
 */
export async function executePlan(
  context: RunContext, plan: FleetPlan, observation: Observation, options: ExecuteOptions,
): Promise<Execution> {
  const pool = new SourcePool(topologyOf(context.spec, {
    imageBytes: observation.template?.allocationBytes ?? context.spec.imageBytes,
    time: options.time,
    freeLocalCopies: context.hypervisor.capabilities.freeLocalCopies,
  }), context.spec.limits.maxConcurrentClones);
  const run = new Execute(context, plan, observation, pool);
  try {
    await run.clear();
    await run.make(options.choosePolicy);
    await context.tasks.idle();
    await run.removeReplicas();
  } catch (error) {
    await context.tasks.idle();
    if (!context.signal.aborted) throw error;
  }
  return run.result;
}

/** Only takes away: what a removal's plan names, and touches nothing that stays. */
export async function executeRemoval(context: RunContext, plan: FleetPlan, observation: Observation): Promise<Execution> {
  const run = new Execute(context, plan, observation, new SourcePool(topologyOf(context.spec), 1));
  try {
    await run.clear();
    await run.removeReplicas();
  } catch (error) {
    if (!context.signal.aborted) throw error;
  }
  return run.result;
}

class Execute {
  readonly result: Execution;
  private readonly keeper: BaseKeeper;
  /** Members of ours that could not be taken away: their slots cannot be made anew. */
  private readonly stuck = new Set<number>();
  /** Members as they were observed, by slot and host. */
  private readonly found: Map<string, ObservedMember>;

  constructor(
    private readonly context: RunContext,
    private readonly plan: FleetPlan,
    private readonly observation: Observation,
    private readonly pool: SourcePool,
  ) {
    const log = new TransferLog(context.clock, pool);
    this.result = { log, policy: "none", created: 0, destroyed: 0, reconfigured: 0 };
    this.keeper = new BaseKeeper(context, pool);
    this.found = new Map(observation.hosts.flatMap((host) => (
      host.status === "reachable" ? host.members.map((m) => [key(host.name, m.slot), m] as const) : []
    )));
  }

  /** Leftovers, adoption, then what must go; each to its end before the next, and all before anything is made. */
  async clear(): Promise<void> {
    const { cleanup, adopt, destroy } = this.plan;
    const { hypervisor, fleet, meter, spec, failures } = this.context;
    if (cleanup.length > 0) meter.enter("cleanup", `removing ${cleanup.length} leftovers`);
    await this.each(cleanup, "remove leftovers", (e) => e.partial.name, ({ host, partial }) => (
      operate(this.context, host, (call) => hypervisor.destroy({ kind: "partial", fleet, host, partial }, call))
    ));
    await this.each(adopt, "adopt", (e) => e.name, ({ host, slot, name }) => {
      const generation = this.found.get(key(host, slot))?.generation ?? 0;
      return operate(this.context, host, (call) => hypervisor.adopt({ fleet, host, slot, name, generation }, call));
    });
    if (destroy.length > 0) meter.enter("destroy", `removing ${destroy.length} members`);
    const { shutdownMs } = spec.timeouts;
    await this.each(destroy, "destroy", (e) => e.name, async ({ host, slot, name, generation }) => {
      await operate(this.context, host, (call) => (
        hypervisor.destroy({ kind: "member", fleet, host, slot, name, generation, shutdownMs }, call)
      ));
      this.result.destroyed++;
    });
    const failed = new Set(failures.all.filter((f) => f.step === "destroy").map((f) => f.name));
    for (const { slot, name } of destroy) if (failed.has(name)) this.stuck.add(slot);
  }

  async make(choosePolicy: (pool: SourcePool) => Policy): Promise<void> {
    const { meter, tasks, signal } = this.context;
    signal.throwIfAborted();
    const creates = this.plan.create.filter((create) => !this.stuck.has(create.slot));
    this.countStanding();
    const { keep, adopt, reconfigure, create } = this.plan;
    const changing = new Set(reconfigure.map((e) => e.slot));
    const standing = [...keep, ...adopt].filter((e) => !changing.has(e.slot)).length;
    meter.plan(standing, standing + changing.size + create.length, this.copiesFor(creates), this.pool.topology.imageBytes);
    this.changeMembers();
    if (creates.length > 0) {
      await this.findSources(creates);
      meter.enter("clone");
      this.distribute(creates, choosePolicy);
    } else {
      this.keeper.review();
    }
    await tasks.idle();
  }

  /** Last, and only what no member that failed in this run will want in the next. */
  async removeReplicas(): Promise<void> {
    const { hypervisor, fleet, failures, signal } = this.context;
    if (signal.aborted) return;
    const gone = this.plan.removeReplicas.filter(({ host, contentId }) => (
      contentId === this.plan.contentId ? failures.all.length === 0 : !failures.all.some((f) => f.host === host)
    ));
    await this.each(gone, "remove replica", (e) => replicaLabel(e.host), ({ host, contentId, purpose }) => (
      operate(this.context, host, (call) => (
        hypervisor.destroy({ kind: "replica", fleet, host, contentId, purpose }, call)
      ))
    ));
  }

  /** The books as the hosts hold them now: base images that are there, and those of them that are sources. */
  private countStanding(): void {
    const { spec } = this.context;
    const { contentId } = this.plan;
    const goes = new Set(this.plan.destroy.map((d) => key(d.host, d.slot)));
    addStandingSources(this.pool, spec, this.observation, contentId, (replica, host) => (
      this.plan.removeReplicas.some((r) => r.host === host && r.contentId === replica.contentId && r.purpose === replica.purpose)
    ));
    for (const { index, host } of declaredHosts(spec, this.observation)) {
      const members = host.members.filter((m) => m.kind === "full" && !goes.has(key(host.name, m.slot)));
      const replicas = host.replicas.filter((r) => r.purpose === "replica" && r.contentId === contentId);
      const made = members.filter((m) => m.contentId === contentId).length + replicas.length;
      this.pool.view.made[index] = made;
      this.pool.view.targets[index] = made;
      for (const member of [...members].sort((a, b) => a.slot - b.slot)) {
        if (member.base !== "frozen" && member.base !== "consolidating") continue;
        const { slot, name, generation } = member;
        const seed = isFrozenSource(member, contentId);
        const source = !seed ? undefined : this.pool.add({
          host: index, hostName: host.name, kind: "base", label: name,
          ref: { kind: "base", host: host.name, slot, generation },
        });
        this.keeper.add({ slot, name, host: host.name, rack: spec.hosts[index]!.rack, generation, source, seed });
      }
    }
  }

  private changeMembers(): void {
    const { tasks, meter } = this.context;
    for (const planned of this.plan.reconfigure) {
      const member = this.found.get(key(planned.host, planned.slot));
      if (!member) continue;
      tasks.start(async () => {
        if (!await changeMember(this.context, planned, member)) return;
        this.result.reconfigured++;
        meter.memberDone(planned.name);
      });
    }
  }

  /** A local file that nobody holds yet is sent to one host first. */
  private async findSources(creates: PlannedCreate[]): Promise<void> {
    const { spec, meter, failures, signal } = this.context;
    if (spec.template.kind !== "file" || this.pool.sources.length > 0 || this.copiesFor(creates) === 0) return;
    meter.enter("upload", "sending the template file");
    try {
      await upload(this.context, this.pool, this.result.log, this.plan.contentId);
    } catch (error) {
      signal.throwIfAborted();
      const host = spec.hosts[0]!.name;
      failures.add({ host, name: replicaLabel(host), step: "upload", error, next: "uploads it again" });
    }
  }

  /** Base images the creates ask for: one a full member, one a host for all its linked ones. */
  private copiesFor(creates: PlannedCreate[]): number {
    const lacking = new Set(creates.filter((c) => c.kind === "linked" && !this.replicaOn(c.host)).map((c) => c.host));
    return creates.filter((c) => c.kind === "full").length + lacking.size;
  }

  private replicaOn(name: string): boolean {
    const host = this.observation.hosts.find((h) => h.name === name);
    return host?.status === "reachable" &&
      host.replicas.some((r) => r.purpose === "replica" && r.contentId === this.plan.contentId);
  }

  private distribute(creates: PlannedCreate[], choosePolicy: (pool: SourcePool) => Policy): void {
    const { spec } = this.context;
    const { contentId } = this.plan;
    const indexOf = new Map(spec.hosts.map((h, index) => [h.name, index]));
    const linked = new Map<string, PlannedCreate[]>();
    for (const create of creates) {
      if (create.kind === "linked") linked.set(create.host, [...(linked.get(create.host) ?? []), create]);
    }
    this.result.log.begun();
    let distributor: Distributor | undefined;
    if (this.copiesFor(creates) > 0) {
      const policy = this.withTargets(creates, () => choosePolicy(this.pool));
      this.result.policy = policy.name;
      distributor = new Distributor(this.context, contentId, this.pool, policy, this.result.log, () => this.keeper.review());
    }
    // Replicas first: more than one member waits for each.
    for (const [host, members] of linked) {
      const ref = { kind: "replica", purpose: "replica", host, contentId } as const;
      const start = () => members.forEach((m) => this.startMember(m, ref, () => distributor?.ask()));
      if (this.replicaOn(host)) start();
      else {
        distributor!.want({
          host: indexOf.get(host)!, target: ref, label: replicaLabel(host), whole: start,
          failed: (error) => members.forEach((m) => this.notCloned(m, error)),
        });
      }
    }
    for (const create of creates) {
      if (create.kind !== "full") continue;
      const { host, slot, name, generation, rack } = create;
      const ref = { kind: "base", host, slot, generation } as const;
      distributor!.want({
        host: indexOf.get(host)!, target: ref, label: name, failed: (error) => this.notCloned(create, error),
        whole: (source) => this.startMember(create, ref, () => {
          this.keeper.add({ slot, name, host, rack, generation, source, seed: source !== undefined });
          distributor!.ask();
        }),
      });
    }
    distributor?.ask();
  }

  /** Lets `choose` see the targets as they will be once everything wanted is queued. */
  private withTargets<T>(creates: PlannedCreate[], choose: () => T): T {
    const { targets } = this.pool.view;
    const before = [...targets];
    const hosts = this.context.spec.hosts;
    const replicas = new Set<string>();
    for (const { kind, host } of creates) {
      if (kind === "linked" && (this.replicaOn(host) || replicas.has(host))) continue;
      if (kind === "linked") replicas.add(host);
      targets[hosts.findIndex((h) => h.name === host)]!++;
    }
    const chosen = choose();
    before.forEach((target, index) => { targets[index] = target; });
    return chosen;
  }

  /** @param whole called once the member is defined, ready or not */
  private startMember(create: PlannedCreate, base: Parameters<typeof makeMember>[3], whole: () => void): void {
    const { tasks, meter } = this.context;
    tasks.start(async () => {
      const made = await makeMember(this.context, create, this.plan.contentId, base);
      if (made === "ready") {
        this.result.created++;
        this.result.log.ready();
        meter.memberDone(create.name);
      }
      if (made !== "nothing") whole();
    });
  }

  private notCloned({ host, name }: PlannedCreate, error: unknown): void {
    this.context.failures.add({ host, name, step: "clone", error, next: "clones it again" });
  }

  /** All at once, within the limits; errors are recorded. */
  private async each<T extends { host: string }>(
    items: T[], step: string, nameOf: (item: T) => string, act: (item: T) => Promise<void>,
  ): Promise<void> {
    const { signal, failures } = this.context;
    signal.throwIfAborted();
    await Promise.all(items.map(async (item) => {
      try {
        await act(item);
      } catch (error) {
        if (!signal.aborted) failures.add({ host: item.host, name: nameOf(item), step, error, next: "tries it again" });
      }
    }));
    signal.throwIfAborted();
  }
}
