import type { CopyRef, ReplicaRef } from "../../hypervisor";
import { contentPrefix, volumeName, type MemberImageKind, type OfDisk, type VolumeName, type VolumeScope } from "./names";

/** One disk of what a copy makes. */
export type TargetRef = CopyRef & OfDisk;

/** The volume of a target; clones are always qcow2. */
export function targetVolumeName(scope: VolumeScope, ref: TargetRef, format: "qcow2" | "raw" = "qcow2"): string {
  return volumeName(scope, targetName(ref, format));
}

function targetName({ disk, ...ref }: TargetRef, format: "qcow2" | "raw"): VolumeName {
  return ref.kind === "base"
    ? { kind: "base", slot: ref.slot, generation: ref.generation, disk }
    : { kind: ref.purpose, contentPrefix: contentPrefix(ref.contentId), format, disk };
}

export function markerName(scope: VolumeScope, ref: ReplicaRef): string {
  return volumeName(scope, { kind: "complete", of: ref.purpose, contentId: ref.contentId });
}

/** The volume of one of a member's cloned disks. */
export const memberImage = (scope: VolumeScope, kind: MemberImageKind, { slot, generation }: { slot: number; generation: number }, disk = 0): string =>
  volumeName(scope, { kind, slot, generation, disk });
