/** The images that copies make on simulated hosts, and what names one as a source. */
import { PROVIDER_HOST } from "../../scheduler/time/timeModel";
import type { CloneOrder, ImageRef } from "../hypervisor";
import { replicaKey, volumeKey, type SimulatedHost } from "./world";

export const baseKey = (host: string, key: string): string => `${host}/base/${key}`;

export function sourceKeyOf(fleetId: string, source: ImageRef): string {
  switch (source.kind) {
    case "template": return `${source.host ?? PROVIDER_HOST}/template`;
    case "replica": return `${source.host}/${replicaKey(fleetId, source.purpose, source.contentId)}`;
    case "base": return baseKey(source.host, volumeKey(fleetId, source.slot, source.generation));
  }
}

/** What a copy makes: partial from its first byte until finish(). */
export interface ImageUnderWay {
  whole: boolean;
  volume: string;
  arrivedBytes: number;
  begin(): void;
  setBytes(bytes: number): void;
  bytes(): number;
  spoil(): void;
  finish(): void;
}

/** @param host the target's */
export function imageAt(order: CloneOrder, host: SimulatedHost, imageBytes: number): ImageUnderWay {
  const { target } = order;
  const { fleetId } = order.fleet;
  const volume = target.kind === "base"
    ? `${fleetId}-${target.slot}-${target.generation}-base`
    : `${fleetId}-${target.purpose}-${target.contentId.slice(0, 12)}`;
  const existing = target.kind === "base"
    ? host.bases.get(volumeKey(fleetId, target.slot, target.generation))
    : host.replicas.get(replicaKey(fleetId, target.purpose, target.contentId));
  const resumed = existing && !existing.whole && existing.arriving === order.contentId ? existing.disk : undefined;
  const arrivedBytes = Math.min(resumed?.allocationBytes ?? 0, imageBytes);
  const fresh = {
    fleetId, disk: host.disk(resumed?.name ?? volume, imageBytes, arrivedBytes), whole: false,
    arriving: order.contentId as string | undefined,
  };
  return {
    whole: existing?.whole ?? false,
    volume: existing?.disk.name ?? volume,
    arrivedBytes,
    begin: () => {
      // What an earlier attempt left is gone on from, or overwritten.
      host.freeBytes += existing?.disk.allocationBytes ?? 0;
      if (target.kind === "base") {
        const { slot, generation } = target;
        host.bases.set(volumeKey(fleetId, slot, generation), Object.assign(fresh, { slot, generation, state: "frozen" as const }));
      } else {
        const { contentId, purpose } = target;
        host.replicas.set(replicaKey(fleetId, purpose, contentId), Object.assign(fresh, { contentId, purpose }));
      }
    },
    setBytes: (bytes) => { fresh.disk.allocationBytes = bytes; },
    bytes: () => fresh.disk.allocationBytes,
    spoil: () => { fresh.arriving = undefined; },
    finish: () => {
      fresh.arriving = undefined;
      fresh.disk.allocationBytes = imageBytes;
      fresh.whole = true;
    },
  };
}
