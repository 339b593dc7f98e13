import type { FleetSpec, FleetState, HostSpec, Image, Learned } from "../../fleet/model";
import { learnFrom, type ObservedCopy, type Topology } from "../../scheduler";
import type { TransferLog } from "../distribution/transferLog";
import { inOrder } from "./timeline";

/**
 * What the recorded runs taught, against the rates that are declared by now: where those were corrected since, the
 * factors are, too, or the correction would count twice.
 */
export function learnedFor(spec: FleetSpec, previous: FleetState | undefined): Learned | undefined {
  const learned = previous?.learned;
  if (!previous || !learned) return undefined;
  const now = new Map(spec.hosts.map((host) => [host.name, host]));
  const change = (rate: (host: Pick<HostSpec, "nicBitsPerSecond" | "diskBytesPerSecond">) => number): number => {
    const ratios = previous.hosts.flatMap((host) => {
      const declared = now.get(host.name);
      return declared ? [rate(host) / rate(declared)] : [];
    }).sort((a, b) => a - b);
    return ratios[Math.floor(ratios.length / 2)] ?? 1;
  };
  return {
    ...learned,
    networkFactor: learned.networkFactor * change((host) => host.nicBitsPerSecond),
    diskFactor: learned.diskFactor * change((host) => host.diskBytesPerSecond),
  };
}

/**
 * What is known after a run in which nothing failed.
 * @param topology as declared
 * @param image what its copies were of
 */
export function lessonOf(topology: Topology, image: Image, log: TransferLog, before: Learned | undefined): Learned | undefined {
  const copies = observedCopies(topology, log);
  return copies.length === 0 ? before : learnFrom(topology, { image, copies, finishSeconds: log.finishSeconds }, before);
}

/** Uploads are left out: the way from the provider's own machine is no part of the model. */
function observedCopies({ hosts }: Topology, { traces, times, resumed }: TransferLog): ObservedCopy[] {
  const hostIndex = new Map(hosts.map((host) => [host.name, host.index]));
  const known = traces.filter(({ sourceHost, targetHost }) => hostIndex.has(sourceHost) && hostIndex.has(targetHost));
  // A relay's copy begins no later than its readers', and stands before them.
  const sorted = inOrder(known);
  const place = new Map(sorted.map(({ slot }, index) => [slot, index]));
  return sorted.map((trace, index) => {
    const { source, sourceHost, targetHost, startSeconds, endSeconds, replaced } = trace;
    const upstream = place.get(source);
    const arriving = upstream !== undefined && upstream < index && sorted[upstream]!.endSeconds > startSeconds + SAME_SECONDS;
    const firstByteSeconds = times.get(trace)?.firstByteSeconds(startSeconds);
    const lastByteSeconds = times.get(trace)?.lastByteSeconds;
    return {
      ...(firstByteSeconds !== undefined && { firstByteSeconds }), ...(lastByteSeconds !== undefined && { lastByteSeconds }),
      sourceHost: hostIndex.get(sourceHost)!, targetHost: hostIndex.get(targetHost)!, startSeconds, endSeconds,
      ...(arriving && { upstream }), ...((replaced || resumed.has(trace)) && { disturbed: true }),
    };
  });
}

/** A copy that ended at the instant another began was whole. */
const SAME_SECONDS = 1e-3;
