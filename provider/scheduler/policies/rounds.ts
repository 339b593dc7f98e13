/**
 * US 9,329,889, in the reading that reproduces its figures (DESIGN.md section 6, docs/adr/0010). Every available source
 * makes one clone; where it goes is weighed by how many doublings a host is still away from its target.
 */
import { Heap } from "../../heap";
import { DecisionDraft } from "./decisionDraft";
import type { Decision, Policy, BookView } from "../policy";

/** Eq. 1, of the source's own host: the least n with 2^n * m >= T; 0 when m >= T. */
export function ownWeight(m: number, target: number): number {
  if (m >= target) return 0;
  let n = 0;
  for (let reached = m; reached < target; reached *= 2) n++;
  return n;
}

/** Eq. 2, of another host of the rack: n + 1 for the least n with 2^n * (2m + 1) >= T; 0 when m >= T. */
export function otherWeight(m: number, target: number): number {
  if (m >= target) return 0;
  let n = 0;
  for (let reached = 2 * m + 1; reached < target; reached *= 2) n++;
  return n + 1;
}

interface Weighed {
  host: number;
  weight: number;
}

/** Greatest weight first, then declared order. */
const heavier = (a: Weighed, b: Weighed): boolean =>
  a.weight !== b.weight ? a.weight > b.weight : a.host < b.host;

class Rounds {
  private readonly draft: DecisionDraft;
  private readonly emptyRacks: number[];
  /** By rack: hosts with a target and no VM, in declared order. Made when first asked for. */
  private readonly emptyHosts = new Map<number, number[]>();
  /** By rack: hosts by Eq. 2. Weights only fall during one call, so an entry out of date is too heavy, never too light. */
  private readonly heaviest = new Map<number, Heap<Weighed>>();

  constructor(view: BookView) {
    this.draft = new DecisionDraft(view);
    this.emptyRacks = view.topology.racks
      .map((rack) => rack.index)
      .filter((rack) => !this.draft.rackHosts[rack]!.some((host) => this.draft.isSeeded(host)))
      .filter((rack) => this.draft.rackHosts[rack]!.some((host) => this.draft.isRemaining(host)));
  }

  run(): Decision[] {
    const { draft } = this;
    const idle: Weighed[] = [];
    for (const { index: host } of draft.topology.hosts) {
      if (draft.hasRoom(host) && draft.hasIdleSource(host)) idle.push({ host, weight: this.ownWeightOf(host) });
    }
    const sources = new Heap(heavier, idle);
    for (let top = sources.pop(); top && !draft.full; top = sources.pop()) {
      const weight = this.ownWeightOf(top.host);
      if (weight < top.weight) {
        sources.push({ host: top.host, weight });
        continue;
      }
      const target = this.targetFor(top.host);
      // Nothing to do for one source of a host: nothing to do for the others, loads only rise.
      if (target < 0) continue;
      draft.decide(top.host, target);
      if (draft.hasRoom(top.host) && draft.hasIdleSource(top.host)) sources.push(top);
    }
    return draft.decisions;
  }

  /** Breadth over racks, then over the rack's hosts, then the weights. -1: nowhere. */
  private targetFor(source: number): number {
    const { draft } = this;
    const emptyRack = this.emptyRacks.shift();
    if (emptyRack !== undefined) return draft.rackHosts[emptyRack]!.find((host) => draft.isRemaining(host))!;

    const rack = draft.topology.hosts[source]!.rack;
    const emptyHost = this.emptyHostsOf(rack).shift();
    if (emptyHost !== undefined) return emptyHost;

    const own = draft.remaining[source]! > 0 ? this.ownWeightOf(source) : 0;
    const other = this.heaviestOther(rack, source);
    // A tie stays local.
    if (other && other.weight > own) return other.host;
    return own > 0 ? source : -1;
  }

  /** Bases that serve or will soon; the template counts on its own host. Consolidated ones feed nobody. */
  private existing(host: number): number {
    return this.draft.sourceCount[host]! + this.draft.arriving[host]!;
  }

  private ownWeightOf(host: number): number {
    const m = this.existing(host);
    return ownWeight(m, m + this.draft.remaining[host]!);
  }

  private otherWeightOf(host: number): number {
    const m = this.existing(host);
    return otherWeight(m, m + this.draft.remaining[host]!);
  }

  private emptyHostsOf(rack: number): number[] {
    let hosts = this.emptyHosts.get(rack);
    if (!hosts) {
      hosts = this.draft.rackHosts[rack]!.filter((host) => !this.draft.isSeeded(host) && this.draft.isRemaining(host));
      this.emptyHosts.set(rack, hosts);
    }
    return hosts;
  }

  private heaviestOther(rack: number, source: number): Weighed | undefined {
    const { draft } = this;
    let heap = this.heaviest.get(rack);
    if (!heap) {
      const hosts = draft.rackHosts[rack]!.filter((host) => draft.isRemaining(host));
      heap = new Heap(heavier, hosts.map((host) => ({ host, weight: this.otherWeightOf(host) })));
      this.heaviest.set(rack, heap);
    }
    let self: Weighed | undefined;
    let found: Weighed | undefined;
    for (let top = heap.peek(); top; top = heap.peek()) {
      const weight = draft.isRemaining(top.host) ? this.otherWeightOf(top.host) : 0;
      if (weight < top.weight) {
        heap.pop();
        if (weight > 0) heap.push({ host: top.host, weight });
      } else if (top.host === source) {
        self = heap.pop();
      } else {
        found = top;
        break;
      }
    }
    if (self) heap.push(self);
    return found;
  }
}

export const rounds: Policy = {
  name: "rounds",
  next: (view) => new Rounds(view).run(),
};
