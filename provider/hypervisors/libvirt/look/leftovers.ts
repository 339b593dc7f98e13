import type { ObservedMember, Leftover } from "../../../fleet/model";
import { disksOf } from "../volumes/contentId";
import { contentPrefix, type VolumeName } from "../volumes/names";
import type { VolumeFacts } from "../volumes/volumes";

export interface OwnVolume {
  name: VolumeName;
  facts: VolumeFacts;
}

/** A member as far as leftovers are concerned. */
export interface Owner extends Pick<ObservedMember, "slot" | "generation" | "chain" | "disks"> {
  /** Its disk is its base, running and defined: a delta beside it was merged and forgotten. */
  flat: boolean;
  /** Its writes stand, or may stand, in its early disk. */
  unarrived: boolean;
  /** Volumes that tell its guest who it is: those that its definition names, as it runs and as it will start. */
  told: readonly string[];
}

type ReplicaName = Extract<VolumeName, { kind: "replica" | "template" }>;

export const isMarkerOf = (marker: VolumeName, image: ReplicaName): boolean =>
  marker.kind === "complete" && marker.of === image.kind && contentPrefix(marker.contentId) === image.contentPrefix;

/**
 * Volumes of ours that belong to no whole thing. What is removed as a leftover is gone for good, so in doubt nothing
 * is: of a member that exists only marks, and the delta of one proven flat; a data disk only while its `pending` mark
 * exists, since somebody's copy of one may look like it. The caller still spares whatever any domain or image of the host refers to.
 */
export function leftoverVolumes(volumes: OwnVolume[], owners: Owner[]): OwnVolume[] {
  const used = new Set(owners.flatMap((m) => [...m.chain, ...m.disks].map((disk) => disk.name)));
  const names = volumes.map((v) => v.name);
  return volumes.filter(({ name, facts }) => {
    if (used.has(facts.volume)) return false;
    const owner = "slot" in name ? owners.find((m) => m.slot === name.slot && m.generation === name.generation) : undefined;
    switch (name.kind) {
      case "base":
      case "firmware":
        return owner === undefined;
      case "delta":
        return owner === undefined || owner.flat;
      case "early":
        return owner === undefined || !owner.unarrived;
      case "identity":
      case "ignition":
        return !owner?.told.includes(facts.volume);
      case "pending":
      case "map":
        return true;
      case "arriving":
        return !owner?.unarrived;
      case "disk":
        return owner === undefined && isPending(name, names);
      case "replica":
      case "template":
        return !isWhole(name, names);
      case "complete":
        return !names.some((n) => (n.kind === "replica" || n.kind === "template") && isMarkerOf(name, n));
    }
  });
}

/** Its mark is in the fleet's own pool. @param pool the disk's, where that is another one */
export /** Its mark is there, and so are all disks of its image. Whatever stands on what is left of another is asked by the caller. */
const isWhole = (image: ReplicaName, names: VolumeName[]): boolean => names.some((marker) => marker.kind === "complete" && isMarkerOf(marker, image) &&
  disksOf(marker.contentId).every((disk) => names.some((one) => one.kind === image.kind && one.contentPrefix === image.contentPrefix && one.format === image.format && (one.disk ?? 0) === disk)));

export const isPending = (disk: Extract<VolumeName, { kind: "disk" }>, names: readonly VolumeName[], pool?: string): boolean =>
  names.some((p) => p.kind === "pending" && p.slot === disk.slot && p.generation === disk.generation && p.label === disk.label && p.pool === pool);

export const asLeftover = ({ name, facts }: OwnVolume): Leftover => ({
  kind: "volume", name: facts.volume, bytes: facts.allocationBytes,
  ...("slot" in name ? { slot: name.slot, generation: name.generation } : {}),
});
