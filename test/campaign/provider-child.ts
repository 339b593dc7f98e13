/** A provider to be killed: applies what it is told to, says each call to a host as it begins, and how it ended. */
import { applyFleet, FleetRefusedError, FleetRunError, realClock } from "../../provider/engine";
import type { FleetState } from "../../provider/fleet";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { wrap } from "../engine/wrappers";
import { specOf } from "../hypervisors/libvirt/labFleet";

export interface ChildOrder {
  inputs: Record<string, unknown>;
  fleetId: string;
  incarnation: string;
  previous: FleetState | undefined;
  /** The wall clock of the provider's machine jumps by so much, so long after the beginning. */
  clockJump?: { afterMs: number; byMs: number };
}

export type ChildWord = { call: string } | { ended: "whole"; state: FleetState } | { ended: "failed"; why: string; state?: FleetState };

/** Whoever killed the campaign has nobody to tell. */
const say = (word: ChildWord): void => void (process.connected && process.send!(word));

process.on("message", (order: ChildOrder) => {
  const { inputs, clockJump, ...request } = order;
  if (clockJump) {
    const now = Date.now.bind(Date);
    const beganMs = now();
    Date.now = () => now() + (now() - beganMs >= clockJump.afterMs ? clockJump.byMs : 0);
  }
  const spec = specOf(inputs);
  const libvirt = createLibvirt({ spec });
  const hypervisor = wrap(libvirt, (method, _order, _context, proceed) => {
    say({ call: method });
    return proceed();
  });
  applyFleet({ ...request, spec, hypervisor, clock: realClock, holder: "to be killed" }).then(
    ({ state }) => say({ ended: "whole", state }),
    (error: Error) => say({
      ended: "failed", why: error.message, ...(error instanceof FleetRunError && { state: error.state }),
      ...(!(error instanceof FleetRunError) && !(error instanceof FleetRefusedError) && { why: error.stack ?? error.message }),
    }),
  ).finally(() => libvirt.close()).finally(() => process.connected && process.disconnect());
});
