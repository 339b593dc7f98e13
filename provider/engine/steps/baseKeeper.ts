import { seedKeeper } from "../../fleet";
import { operate, type RunContext } from "../run/context";
import type { BookedSource, SourceBook } from "../distribution/sourceBook";

/** A full member's base that stands, unmerged, under its delta disk. */
export interface FrozenBase {
  slot: number;
  name: string;
  host: string;
  rack: string;
  generation: number;
  /** Absent: no source in this run (half merged, another template's, or its host was given up). */
  source?: BookedSource;
  /** May stay as a seed for later growth. False for a base that is half merged or of another template. */
  seed: boolean;
}

type SourceBase = FrozenBase & { source: BookedSource };

const isSource = (base: FrozenBase): base is SourceBase => base.source !== undefined;

/**
 * Keeps frozen bases as long as a clone may need them, then merges each with its delta, once (claim 9, FIG. 5).
 * `keepSeeds` leaves the first of each rack or host; the same ones stay from run to run.
 */
export class BaseKeeper {
  /** By rack: there are very many, and most racks keep theirs for long. */
  private readonly waiting = new Map<number, Set<SourceBase>>();
  private readonly isSeed: ReturnType<typeof seedKeeper>;
  private merging = 0;

  constructor(private readonly context: RunContext, private readonly book: SourceBook) {
    this.isSeed = seedKeeper(context.spec);
  }

  /** Merges are under way. */
  get isMerging(): boolean {
    return this.merging > 0;
  }

  /** The member over this base is whole: from now on the base is merged as soon as nobody needs it. */
  add(base: FrozenBase): void {
    if (base.seed && this.isSeed(base)) return;
    if (!isSource(base)) return this.merge(base);
    const { rack } = this.book.topology.hosts[base.source.host]!;
    let waiting = this.waiting.get(rack);
    if (!waiting) this.waiting.set(rack, waiting = new Set());
    waiting.add(base);
  }

  /**
   * Starts merging what nobody can need any more. Called after every event. With copies still to start, that is a base
   * whose own rack is served, and only when every rack that is not has a source of its own.
   */
  review(): void {
    if (this.waiting.size === 0 || this.context.signal.aborted) return;
    const demand = this.demand();
    if (demand.open > 0 && !demand.needyAreSupplied) return;
    for (const [rack, waiting] of this.waiting) {
      if (demand.open > 0 && demand.needy.has(rack)) continue;
      for (const base of waiting) {
        const { source } = base;
        if (!this.isDispensable(source, demand)) continue;
        waiting.delete(base);
        // Out of the book before anything is awaited: no copy can begin from here on.
        source.retired = true;
        this.book.drop(source);
        this.merge(base);
      }
      if (waiting.size === 0) this.waiting.delete(rack);
    }
  }

  /**
   * Not while someone reads it; and once all copies have started, the last finished copy stays while any is under way,
   * for the case that the template is lost.
   */
  private isDispensable(source: BookedSource, { open, moving }: Demand): boolean {
    return source.serving === 0 && (open > 0 || moving === 0 || this.book.copies > 1);
  }

  private demand(): Demand {
    const { topology, sourcesInRack, transfers, resting, view: { targets, made, making } } = this.book;
    let open = 0;
    const needy = new Set<number>();
    for (const { index, rack } of topology.hosts) {
      const unmade = targets[index]! + resting[index]! - made[index]!;
      open += unmade - making[index]!;
      if (unmade > 0) needy.add(rack);
    }
    return {
      open,
      moving: transfers.length,
      needy,
      needyAreSupplied: [...needy].every((rack) => sourcesInRack[rack]! > 0),
    };
  }

  private merge(base: FrozenBase): void {
    const { fleet, hypervisor, tasks, turns, merges, failures, signal } = this.context;
    const { host, slot, name, generation } = base;
    if (this.context.copiesOnly) return;
    this.merging++;
    tasks.start(async () => {
      try {
        await turns.take(host, base, () => operate(
          this.context, host, (call) => hypervisor.consolidate({ fleet, host, slot, name, generation }, call), merges,
        ));
      } catch (error) {
        if (signal.aborted) return;
        failures.add({ host, name, step: "consolidate", error, next: "finishes it" });
      } finally {
        this.merging--;
      }
    });
  }
}

interface Demand {
  /** Copies not started yet. */
  open: number;
  /** Copies under way. */
  moving: number;
  /** Racks with copies to start or under way. */
  needy: Set<number>;
  /** Each of those has a source. Merging bases of other racks changes nothing about that. */
  needyAreSupplied: boolean;
}
