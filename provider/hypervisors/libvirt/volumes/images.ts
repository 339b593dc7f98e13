import type { CopyRef, ReplicaRef } from "../../hypervisor";
import { contentPrefix, volumeName, type VolumeName, type VolumeScope } from "./names";

export type TargetRef = CopyRef;

/** The volume of a target; clones are always qcow2. */
export function targetVolumeName(scope: VolumeScope, ref: TargetRef, format: "qcow2" | "raw" = "qcow2"): string {
  return volumeName(scope, targetName(ref, format));
}

function targetName(ref: TargetRef, format: "qcow2" | "raw"): VolumeName {
  return ref.kind === "base"
    ? { kind: "base", slot: ref.slot, generation: ref.generation }
    : { kind: ref.purpose, contentPrefix: contentPrefix(ref.contentId), format };
}

export function markerName(scope: VolumeScope, ref: ReplicaRef): string {
  return volumeName(scope, { kind: "complete", of: ref.purpose, contentId: ref.contentId });
}

/** Of a member's first disk, from what stands on nothing of its own up. */
export const imageNames = (scope: VolumeScope, { slot, generation }: { slot: number; generation: number }): string[] =>
  (["base", "delta", "early"] as const).map((kind) => volumeName(scope, { kind, slot, generation }));
