/** Simulated members that run before their disk is there. */
import { HypervisorError, type CallContext, type CloneOrder, type CloneResult, type EarlyOrder, type HintedCloneOrder, type HintedCloneResult, type StartsEarly } from "../../hypervisor";
import { assertKept } from "./hardware";
import { ImageUnderWay, sourceKeyOf } from "../images";
import type { SimulatedCosts } from "../options";
import { slotKey, volumeKey, type SimulatedHost, type SimulatedMember } from "../world";

/** What a simulated guest reads of its image when it boots. */
const BOOT_BYTES = 1 << 20;

/** What the simulated hypervisor lends to early starts. */
export interface EarlyGround {
  readonly imageBytes: number;
  readonly startupSeconds: number;
  readonly seconds: SimulatedCosts;
  host(name: string): SimulatedHost;
  /** A call to this host that takes so long. */
  step(host: string, step: string, seconds: number, context: CallContext): Promise<SimulatedHost>;
  /** @throws ForeignNameError */
  checkName(host: SimulatedHost, order: EarlyOrder, step: string): void;
  clone(order: CloneOrder, context: CallContext): Promise<CloneResult>;
  isUnderWay(sourceKey: string): boolean;
  started(host: string, fleetId: string, slot: number): void;
}

export class EarlyStarts implements StartsEarly {
  constructor(private readonly ground: EarlyGround) {}

  async clone(order: HintedCloneOrder, context: CallContext = {}): Promise<HintedCloneResult> {
    const host = this.ground.host(order.target.host);
    const { imageBytes } = this.ground;
    const wasWhole = new ImageUnderWay(order, host, imageBytes).whole;
    const result = await this.ground.clone(order, context);
    // A guest of the simulation reads what stands first.
    const read = order.recordReads && !wasWhole && guestsOver(host, order).length > 0;
    return read ? { ...result, readProfile: [{ offsetBytes: 0, lengthBytes: Math.min(imageBytes, BOOT_BYTES) }] } : result;
  }

  async startEarly(order: EarlyOrder, context: CallContext = {}): Promise<void> {
    const { slot, generation, base } = order;
    const { fleetId, incarnation } = order.fleet;
    const { seconds: { defineSeconds, startSeconds }, startupSeconds, imageBytes } = this.ground;
    const image = sourceKeyOf(fleetId, base);
    const key = volumeKey(fleetId, slot, generation);
    const assertArriving = (): void => {
      if (!this.ground.isUnderWay(image)) throw new HypervisorError(order.host, "start early", `no copy is under way that slot ${slot} could read from`);
    };
    assertArriving();
    const found = this.ground.host(order.host).members.has(slotKey(fleetId, slot));
    const host = await this.ground.step(order.host, "start early", startupSeconds + (found ? 0 : defineSeconds + startSeconds), context);
    assertArriving();
    const disk = host.early.get(key);
    if (found && !disk) throw new HypervisorError(order.host, "start early", `slot ${slot} has its disk already`);
    if (!found) {
      this.ground.checkName(host, order, "start early");
      assertKept(host, order, "start early");
      host.early.set(key, { fleetId, slot, generation, state: "arriving", disk: host.disk(`${fleetId}-${slot}-${generation}-early`, imageBytes, 0) });
      host.define(order, fleetId, incarnation);
      this.ground.started(order.host, fleetId, slot);
    }
    host.members.get(slotKey(fleetId, slot))!.power = "running";
  }

  async settle(order: EarlyOrder, context: CallContext = {}): Promise<void> {
    const { seconds: { snapshotSeconds }, imageBytes } = this.ground;
    const host = await this.ground.step(order.host, "settle", 0, context);
    const { slot, generation, base } = order;
    const { fleetId } = order.fleet;
    const key = volumeKey(fleetId, slot, generation);
    const early = host.early.get(key);
    const member = host.members.get(slotKey(fleetId, slot));
    if (!early || member?.generation !== generation) return;
    if (!host.holdsContent(fleetId, base)) throw new HypervisorError(order.host, "settle", `no whole, unwritten image for slot ${slot}`);
    early.state = "arrived";
    await this.ground.step(order.host, "settle", snapshotSeconds, context);
    host.deltas.set(key, { fleetId, slot, generation, over: base.kind, disk: host.disk(`${fleetId}-${slot}-${generation}-delta`, imageBytes, 0) });
    host.early.delete(key);
    if (member.power === "paused") member.power = "running";
  }
}

/** Guests that run over this copy's target while it arrives. */
export function guestsOver(host: SimulatedHost, { fleet, target }: CloneOrder): SimulatedMember[] {
  return [...host.early.values()].flatMap(({ fleetId, slot, generation, state }) => {
    const member = host.members.get(slotKey(fleetId, slot));
    if (fleetId !== fleet.fleetId || state !== "arriving" || member?.power !== "running") return [];
    const reads = target.kind === "base"
      ? target.slot === slot && target.generation === generation
      : member.kind === "linked" && member.contentId === target.contentId;
    return reads ? [member] : [];
  });
}
