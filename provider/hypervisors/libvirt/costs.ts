/** What things cost on libvirt hosts besides moving bytes, as measured. */
import type { FleetSpec } from "../../fleet/model";
import type { Costs } from "../hypervisor";

/**
 * Two helpers' starts, the NBD connect, the flush and the helpers' ends: measured by `npm run bench` (one clone against
 * one plain copy of the same bytes).
 */
const COPY_STARTUP_SECONDS = 0.7;
/** One NBD connect, during which a relay answers nobody: measured there too (relay against one plain copy). */
export const RELAY_HOP_SECONDS = 0.1;

/**
 * A delta, a definition and a start; without the start. Measured on the lab, two cores for four hosts: 1 to 20 linked
 * members started on one host in 0.45 to 0.96 s each at loads from 14 to 21, 20 defined only in 0.03 s each. The 40 of
 * ADR 0066 took 0.67 s each.
 */
const STARTED_MEMBER_SECONDS = 0.5;
const MEMBER_SECONDS = 0.03;

export const costsOf = ({ powerOn }: Pick<FleetSpec, "powerOn">): Costs => ({
  copyStartupSeconds: COPY_STARTUP_SECONDS, memberSeconds: powerOn ? STARTED_MEMBER_SECONDS : MEMBER_SECONDS,
});
