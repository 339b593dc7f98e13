/** What a Pulumi program imports: `import { ClonedVmFleet } from "pulumi-vmfleet"`. */
export { ClonedVmFleet } from "./cloned-vm-fleet";
export type { ClonedVmFleetArgs, InputOf } from "./args";
export { hostsInRacks, type RackOfHosts } from "./topology";
export type { ByteRange, Learned, MemberState, ReadProfile, RunSummary, RunTimeline } from "../provider/fleet/model";
