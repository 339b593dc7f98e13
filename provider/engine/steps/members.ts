import { waitsForGuests } from "../../fleet";
import type { CloneKind, PlannedReconfigure } from "../../fleet/model";
import type { CopyRef, MemberRef } from "../../hypervisors/hypervisor";
import { operate, type RunContext } from "../run/context";
import { asDefined, definition, type NewMember } from "./definition";
import type { EarlyStart } from "./early";

/** How far a member came. whole: it is defined, and found again by whoever looks. defined: all that is left is its start, in its place (bringUp.ts). */
export type Made = "nothing" | "whole" | "defined" | "ready";

/**
 * From a base that is there to a member that runs: delta disk over the frozen base, define, power on (FIG. 5). One that
 * was started early runs already: its disk is put over the base first. Waits for no other member. Errors are recorded,
 * never thrown.
 */
export function makeMember(context: RunContext, member: NewMember, base: CopyRef, early?: EarlyStart): Promise<Made> {
  return context.copiesOnly ? TAKEN_AS_READY : make(context, member, base, early);
}

const TAKEN_AS_READY = Promise.resolve<Made>("ready");

async function make(context: RunContext, member: NewMember, base: CopyRef, early: EarlyStart | undefined): Promise<Made> {
  const { hypervisor, abilities, spec, fleet, failures, signal, ledger, hostBook } = context;
  const { slot, name, host, generation, kind, image: { contentId } } = member;
  const size = spec.vm.rootDisk && { diskBytes: spec.vm.rootDisk.sizeBytes };
  let step = "snapshot";
  let made: Made = "nothing";
  try {
    await early?.ended();
    if (early?.isBegun) {
      step = "settle";
      await operate(context, host, (call) => abilities.startsEarly!.settle(early.order, call));
      step = "snapshot";
    }
    await operate(context, host, (call) => (base.kind === "base"
      ? hypervisor.snapshot({ fleet, host, slot, generation, contentId, ...size }, call)
      : abilities.linksClones!.link({ fleet, host, slot, generation, contentId, ...size, replica: base }, call)
    ));
    step = "define";
    const order = definition(context, member);
    ledger.defining(host, asDefined(context, order));
    await operate(context, host, (call) => hypervisor.reconfigure(order, call));
    made = "whole";
    step = "power on";
    if (waitsForGuests(spec) && (early?.isConfiguring ?? true)) return "defined";
    if (spec.powerOn) await power(context, { fleet, host, slot, name, generation }, "running");
    else if (early?.found) await power(context, { fleet, host, slot, name, generation }, "stopped");
    return "ready";
  } catch (error) {
    early?.abandon();
    if (!signal.aborted) {
      if (made === "nothing" && !early?.isBegun && !hostBook.failure(host)) ledger.notDefined(host, member);
      const next = made === "whole" ? "starts it" : step === "settle" ? "completes its disk" : kind === "full" ? "clones it again" : "makes it again";
      failures.add({ host, name, step, error, next });
    }
    return made;
  }
}

/** Brings a member that is kept to its declared shape. @param leavesStart to bringUp.ts @returns false when it failed (recorded) or was cancelled */
export async function changeMember(
  context: RunContext, planned: PlannedReconfigure, known: { generation: number; contentId: string; kind: CloneKind }, leavesStart = false,
): Promise<boolean> {
  const { fleet, hypervisor, failures, signal } = context;
  const { slot, name, host } = planned;
  const { generation, kind } = known;
  const live = planned.changes.flatMap((change) => (change.kind === "hardware" && change.live ? [change.live] : []))[0];
  let step = "reconfigure";
  try {
    for (const change of planned.changes) {
      if (change.kind !== "power") {
        if (change !== planned.changes.find(({ kind }) => kind !== "power")) continue; // one order says all
        await operate(context, host, (call) => (
          hypervisor.reconfigure({ ...definition(context, { slot, name, host, kind, generation, image: known }), ...(live && { live }) }, call)
        ));
        continue;
      }
      if (leavesStart) continue;
      step = change.to === "running" ? "power on" : "power off";
      await power(context, { fleet, host, slot, name, generation }, change.to);
    }
    return true;
  } catch (error) {
    if (!signal.aborted) failures.add({ host, name, step, error, next: "tries it again" });
    return false;
  }
}

export function power(context: RunContext, member: MemberRef, to: "running" | "stopped"): Promise<void> {
  const { hypervisor, spec } = context;
  return operate(context, member.host, (call) => (
    hypervisor.power({ ...member, to, shutdownMs: spec.timeouts.shutdownMs }, call)
  ));
}
