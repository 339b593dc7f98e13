import { groupBy, waitsForGuests } from "../../fleet";
import type { FleetPlan, Observation, PlannedCreate } from "../../fleet/model";
import type { CopyRef } from "../../hypervisors/hypervisor";
import type { BaseKeeper } from "./baseKeeper";
import type { RunContext } from "../run/context";
import { FoundMembers } from "../run/found";
import { Distributor } from "../distribution/distributor";
import { bootNew, bootOfEarly, follow } from "./bringUp";
import { EarlyStart } from "./early";
import type { ExecuteOptions, Execution } from "./execution";
import { makeMember } from "./members";
import type { SourceBook } from "../distribution/sourceBook";
import { imagesOfRun, readySeconds } from "../record/readiness";
import type { ReadHints } from "../distribution/reads";
import type { Room } from "../distribution/room";
import { replicaLabel, upload } from "../distribution/sources";

/** A member to be made; with `base`, one that an earlier run started before its disk was there. */
export type Wanted = PlannedCreate & Partial<Pick<FleetPlan["complete"][number], "base">>;

/** Makes the members a plan creates: their base images by the policy, each member as soon as its base is there. */
export class Creation {
  private readonly indexOf: Map<string, number>;
  private readonly found: FoundMembers;
  /** Base images that are not there yet, and members that are not ready: what the phase follows. */
  private copying = 0;
  private making = 0;
  /** Members that were made and whose guests are not ready. */
  private waiting = 0;
  /** Hosts that get linked members and have no replica for them. */
  private readonly lacking: ReadonlySet<string>;
  /** Base images to be made: one a full member, one a host for all its linked ones. */
  readonly copies: number;

  constructor(
    private readonly context: RunContext,
    private readonly wanted: Wanted[],
    private readonly observation: Observation,
    private readonly book: SourceBook,
    private readonly keeper: BaseKeeper,
    private readonly result: Execution,
    private readonly room: Room,
    private readonly options: ExecuteOptions,
  ) {
    this.indexOf = new Map(book.topology.hosts.map((host) => [host.name, host.index]));
    this.found = new FoundMembers(observation);
    this.lacking = this.hostsLackingReplica();
    this.copies = wanted.reduce((sum, { kind, base }) => (kind === "full" && base !== "arrived" ? sum + 1 : sum), this.lacking.size);
  }

  /** There are members to make, or to complete. */
  get isNeeded(): boolean {
    return this.wanted.length > 0;
  }

  /** A local file that nobody holds yet is sent to one host first. */
  async findSources(): Promise<void> {
    const { spec, meter, failures, signal } = this.context;
    if (spec.template.kind !== "file" || this.book.sources.length > 0 || this.copies === 0) return;
    meter.enter("upload", "sending the template file");
    try {
      this.room.take(await upload(this.context, this.book, this.result.log));
    } catch (error) {
      signal.throwIfAborted();
      const host = spec.hosts[0]!.name;
      failures.add({ host, name: replicaLabel(host), step: "upload", error, next: "uploads it again" });
    }
  }

  private hostsLackingReplica(): Set<string> {
    const holders = new Set(this.observation.hosts.flatMap((host) => (
      host.status === "reachable" && host.replicas.some((r) => r.purpose === "replica" && r.contentId === this.book.image.contentId)
        ? [host.name] : []
    )));
    const lacking = new Set<string>();
    for (const { kind, host, base } of this.wanted) if (kind === "linked" && base !== "arrived" && !holders.has(host)) lacking.add(host);
    return lacking;
  }

  /** Starts everything; it is over when the context's tasks are. */
  start(): void {
    this.result.log.begun();
    const distributor = new Distributor(
      this.context, this.book, this.result.log, this.room, this.options.watch, () => {
        this.keeper.review();
        this.enterPhase();
      },
    );
    this.copying = this.copies;
    this.making = this.wanted.length;
    this.startArrived();
    this.startLinked(distributor);
    this.startFull(distributor);
    this.enterPhase();
    if (this.copies === 0) {
      this.keeper.review(); // no copy's event will ask for it
      this.enterPhase();
      return;
    }
    this.context.tasks.start(async () => {
      const { policy, makespanSeconds, transfers = [] } = await this.options.choosePolicy(this.book);
      this.result.policy = policy.name;
      if (makespanSeconds !== undefined) {
        const { spec, learned, costs } = this.context;
        const images = imagesOfRun(this.wanted, this.lacking, this.book.topology.hosts.map(({ name }) => name), transfers);
        this.result.predictedSeconds = this.result.log.elapsedSeconds + readySeconds(images, makespanSeconds, spec, learned, costs);
      }
      distributor.begin(policy);
    });
  }

  /** Their hosts' replicas are wanted before full members' bases: more than one member waits for each. */
  private startLinked(distributor: Distributor): void {
    const { contentId } = this.book.image;
    const byHost = groupBy(this.wanted.filter(({ kind, base }) => kind === "linked" && base !== "arrived"), ({ host }) => host);
    for (const [host, members] of byHost) {
      const ref = { kind: "replica", purpose: "replica", host, contentId } as const;
      const earlies = new Map(members.map((member) => [member, this.early(member, ref)]));
      const whole = () => members.forEach((member) => this.startMember(member, ref, () => undefined, earlies.get(member)));
      if (!this.lacking.has(host)) {
        whole();
        continue;
      }
      const failed = (error: unknown) => this.copied(() => members.forEach((member) => this.notCloned(member, error, earlies.get(member))));
      distributor.want({
        host: this.indexOf.get(host)!, target: ref, label: replicaLabel(host), failed, whole: () => this.copied(whole),
        hints: (local) => this.hints([...earlies.values()], local),
        begun: (local) => earlies.forEach((early) => early.begin(local)),
      });
    }
  }

  private startFull(distributor: Distributor): void {
    for (const create of this.wanted) {
      if (create.kind !== "full" || create.base === "arrived") continue;
      const { host, slot, name, generation, rack } = create;
      const target = { kind: "base", host, slot, generation, name } as const;
      // A preview makes no members.
      const early = this.context.copiesOnly ? undefined : this.early(create, target);
      distributor.want({
        host: this.indexOf.get(host)!, target, label: name,
        failed: (error) => this.copied(() => this.notCloned(create, error, early)),
        hints: early && ((local) => this.hints([early], local)),
        begun: early && ((local) => early.begin(local)),
        whole: (source) => this.copied(() => this.startMember(create, target, () => {
          this.keeper.add({ slot, name, host, rack, generation, source, seed: source !== undefined });
          distributor.ask();
        }, early)),
      });
    }
  }

  /** Their images are whole: nothing has to be copied. */
  private startArrived(): void {
    for (const create of this.wanted) {
      if (create.base !== "arrived") continue;
      const { host, slot, name, generation, rack, kind, image: { contentId } } = create;
      const base = kind === "full"
        ? { kind: "base", host, slot, generation } as const
        : { kind: "replica", purpose: "replica", host, contentId } as const;
      this.startMember(create, base, () => {
        if (kind === "full") this.keeper.add({ slot, name, host, rack, generation, seed: contentId === this.book.image.contentId });
      }, this.early(create, base));
    }
  }

  /** One found from an earlier run has booted: its reads say nothing about booting. */
  private hints(earlies: EarlyStart[], local: boolean): ReadHints | undefined {
    const boots = earlies.some((early) => early.isStartedBy(local)) && earlies.every((early) => !early.found);
    return boots ? this.context.reads.hints(this.book.image.contentId) : undefined;
  }

  private early(create: Wanted, base: CopyRef): EarlyStart {
    const found = create.base === undefined ? undefined : this.found.at(create.host, create);
    const isConfiguring = waitsForGuests(this.context.spec) && (found ? found.configuring === true : true);
    return new EarlyStart(this.context, create, base, create.base !== undefined, isConfiguring);
  }

  /** @param whole called once the member is defined, started or not */
  private startMember(create: Wanted, base: CopyRef, whole: () => void, early: EarlyStart | undefined): void {
    const { tasks, meter } = this.context;
    tasks.start(async () => {
      const made = await makeMember(this.context, create, base, early);
      if (made === "ready" || made === "defined") {
        this.result.log.ready();
        if (create.base === undefined) this.result.created++;
      }
      if (made === "ready" && create.base === undefined) meter.memberDone(create.name);
      if (made === "defined") return this.awaitGuest(create, whole, early);
      if (made !== "nothing") whole();
      this.making--;
      this.enterPhase();
    });
  }

  /** Others are made meanwhile. */
  private async awaitGuest(create: Wanted, whole: () => void, early: EarlyStart | undefined): Promise<void> {
    const { fleet, meter } = this.context;
    const { host, slot, name, generation } = create;
    const member = { fleet, host, slot, name, generation };
    const booting = early?.boot ? bootOfEarly(this.context, member, early.boot) : bootNew(this.context, member);
    await follow(this.context, member, booting, {
      onStarted: () => {
        whole();
        this.making--;
        this.waiting++;
        this.enterPhase();
      },
      onReady: (tookSeconds) => {
        this.result.log.guestReady(tookSeconds);
        if (create.base === undefined) meter.memberDone(name);
      },
    });
    this.waiting--;
    this.enterPhase();
  }

  private copied(then: () => void): void {
    this.copying--;
    then();
    this.enterPhase();
  }

  /** Copies come first, then members, then merges, though all three overlap. */
  private enterPhase(): void {
    const { meter, signal } = this.context;
    if (this.copying > 0 || signal.aborted) return;
    if (this.making > 0) meter.enterOnce("define");
    else if (this.waiting > 0) meter.enterOnce("configure");
    else if (this.keeper.isMerging) meter.enterOnce("consolidate");
  }

  private notCloned({ host, name }: Wanted, error: unknown, early: EarlyStart | undefined): void {
    early?.abandon();
    this.context.failures.add({ host, name, step: "clone", error, next: "clones it again" });
    this.making--;
  }
}
