/**
 * The plain data that every room shares: what was declared (FleetSpec), what was found (Observation),
 * what must change (FleetPlan) and what is recorded (FleetState). No behaviour lives here.
 *
 * Words are DESIGN.md's (section 1). Sizes are bytes, rates are decimal per second, times are milliseconds
 * unless the name says otherwise; `memory` is MiB, as in @pulumi/vsphere.
 */
export type * from "./image";
export type * from "./member";
export type * from "./guest";
export type * from "./libvirt";
export type * from "./spec";
export type * from "./observation";
export type * from "./plan";
export type * from "./state";
