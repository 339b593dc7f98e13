import type { FleetSpec, Observation, ObservedMember, ObservedReplica, ReachableHost } from "../../fleet/model";
import { HostUnreachableError, type ImageRef, type ReplicaRef } from "../../hypervisors/hypervisor";
import { operate, type RunContext } from "../run/context";
import type { TransferLog } from "./transferLog";
import type { SourceBook } from "./sourceBook";

/** `replica@a1`: how replicas and uploads are called in traces and messages. */
export const replicaLabel = (host: string) => `replica@${host}`;

/** A found base that holds exactly what is wanted and that nobody writes. */
export function isFrozenSource(member: ObservedMember, contentId: string): boolean {
  return member.kind === "full" && member.base === "frozen" && member.contentId === contentId;
}

/** Hosts of the observation that answered and are declared, in declared order, with their index. */
export function declaredHosts(spec: FleetSpec, observation: Observation): { index: number; host: ReachableHost }[] {
  const found = new Map(observation.hosts.map((host) => [host.name, host]));
  return spec.hosts.flatMap(({ name }, index) => {
    const host = found.get(name);
    return host?.status === "reachable" ? [{ index, host }] : [];
  });
}

/** The template itself and the copies of it that are there before the run: uploads, replicas. Bases are added by slot. */
export function addStandingSources(
  book: SourceBook, spec: FleetSpec, observation: Observation, goes: (r: ObservedReplica, host: string) => boolean,
): void {
  const { template } = observation;
  const { contentId } = book.image;
  if (spec.template.kind !== "file" && template?.host !== undefined && template.contentId === contentId) {
    const host = spec.hosts.findIndex((h) => h.name === template.host);
    const ref: ImageRef = { kind: "template", host: template.host };
    if (host >= 0) book.add({ host, hostName: template.host, kind: "template", ref, label: "template" });
  }
  for (const { index, host } of declaredHosts(spec, observation)) {
    for (const replica of host.replicas) {
      if (replica.contentId !== contentId || goes(replica, host.name)) continue;
      addReplica(book, index, host.name, replica.purpose);
    }
  }
}

function addReplica(
  book: SourceBook, host: number, hostName: string, purpose: "replica" | "template",
): void {
  book.add({
    host,
    hostName,
    kind: purpose === "template" ? "template" : "replica",
    ref: { kind: "replica", purpose, host: hostName, contentId: book.image.contentId },
    label: purpose === "template" ? "template" : replicaLabel(hostName),
  });
}

/**
 * Sends a local-file template to the first declared host that takes it, and makes that the first source.
 * @returns that host's index
 * @throws the last host's error when none does
 */
export async function upload(context: RunContext, book: SourceBook, log: TransferLog): Promise<number> {
  const { hypervisor, fleet, hostBook, meter, signal } = context;
  let last: unknown = new Error("no declared host answers");
  for (const { index, name } of book.topology.hosts) {
    if (hostBook.failure(name) || book.isExcluded(index)) continue;
    const target: ReplicaRef = { kind: "replica", purpose: "template", host: name, contentId: book.image.contentId };
    const transfer = {};
    const startSeconds = log.nowSeconds();
    try {
      const { bytesMoved } = await operate(context, name, (call) => hypervisor.clone(
        { fleet, image: book.image, source: { kind: "template", host: null }, target },
        { ...call, onProgress: (done) => meter.moved(transfer, done), onBroken: ({ bytesMoved }) => log.uploadBroken(bytesMoved) },
      ));
      meter.ended(transfer, true);
      log.uploaded(replicaLabel(name), name, startSeconds, bytesMoved);
      addReplica(book, index, name, "template");
      return index;
    } catch (error) {
      meter.ended(transfer, false);
      signal.throwIfAborted();
      if (error instanceof HostUnreachableError) hostBook.giveUp(error);
      last = error;
    }
  }
  throw last;
}
