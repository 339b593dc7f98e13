/** The images that copies make on simulated hosts, and what names one as a source. */
import { PROVIDER_HOST } from "../../scheduler/time/timeModel";
import type { CloneOrder, ImageRef } from "../hypervisor";
import { replicaKey, volumeKey, type SimulatedBase, type SimulatedHost, type SimulatedReplica } from "./world";

export const baseKey = (host: string, key: string): string => `${host}/base/${key}`;

export function sourceKeyOf(fleetId: string, source: ImageRef): string {
  switch (source.kind) {
    case "template": return `${source.host ?? PROVIDER_HOST}/template`;
    case "replica": return `${source.host}/${replicaKey(fleetId, source.purpose, source.contentId)}`;
    case "base": return baseKey(source.host, volumeKey(fleetId, source.slot, source.generation));
  }
}

/** What a copy makes: partial from its first byte until finish(). A class, as there are very many of them. */
export class ImageUnderWay {
  readonly whole: boolean;
  readonly volume: string;
  readonly arrivedBytes: number;
  /** On its host. */
  private readonly key: string;
  private readonly existing: SimulatedBase | SimulatedReplica | undefined;
  private readonly fresh: SimulatedBase | SimulatedReplica;

  /** @param host the target's */
  constructor(order: CloneOrder, private readonly host: SimulatedHost, private readonly imageBytes: number) {
    const { target, image: { contentId: arriving } } = order;
    const { fleetId } = order.fleet;
    const volume = target.kind === "base"
      ? `${fleetId}-${target.slot}-${target.generation}-base`
      : `${fleetId}-${target.purpose}-${target.contentId.slice(0, 12)}`;
    const key = this.key = target.kind === "base"
      ? volumeKey(fleetId, target.slot, target.generation)
      : replicaKey(fleetId, target.purpose, target.contentId);
    const existing = this.existing = target.kind === "base" ? host.bases.get(key) : host.replicas.get(key);
    const resumed = existing && !existing.whole && existing.arriving === arriving ? existing.disk : undefined;
    this.whole = existing?.whole ?? false;
    this.volume = existing?.disk.name ?? volume;
    this.arrivedBytes = Math.min(resumed?.allocationBytes ?? 0, imageBytes);
    const disk = host.disk(resumed?.name ?? volume, imageBytes, this.arrivedBytes);
    this.fresh = target.kind === "base"
      ? { fleetId, disk, whole: false, arriving, slot: target.slot, generation: target.generation, state: "frozen" }
      : { fleetId, disk, whole: false, arriving, contentId: target.contentId, purpose: target.purpose };
  }

  begin(): void {
    const { existing, fresh, host, key } = this;
    // What an earlier attempt left is gone on from, or overwritten.
    host.freeBytes += existing?.disk.allocationBytes ?? 0;
    if ("slot" in fresh) host.bases.set(key, fresh);
    else host.replicas.set(key, fresh);
  }

  get bytes(): number {
    return this.fresh.disk.allocationBytes;
  }

  set bytes(bytes: number) {
    this.fresh.disk.allocationBytes = bytes;
  }

  spoil(): void {
    this.fresh.arriving = undefined;
  }

  finish(): void {
    this.fresh.arriving = undefined;
    this.fresh.disk.allocationBytes = this.imageBytes;
    this.fresh.whole = true;
  }
}
