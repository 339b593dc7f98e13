import type { FleetSpec } from "../../../fleet/model";
import { maxMinRates } from "../../../maxmin";

/** Of an Ethernet frame of 1514 bytes 1448 are the image's; the limits are meant for the wire. */
const PAYLOAD_SHARE = 0.95;

/** A copy as far as limits are concerned. Hosts by name; the upstream is the copy still arriving that it reads from. */
export interface LimitedCopy {
  sourceHost: string;
  targetHost: string;
  upstream?: LimitedCopy;
}

type Limits = Pick<FleetSpec, "hosts" | "racks">;

/**
 * What each of these copies may fetch over the network, so that all together stay within `transferRateBitsPerSecond` of
 * hosts and racks, each way: max-min fair, as in the plan. One that reads from a copy still arriving gets no more than
 * that one gets, since it has no more to read.
 * @returns bytes per second, in order; undefined: not limited
 */
export function fairShares(copies: readonly LimitedCopy[], { hosts, racks }: Limits): (number | undefined)[] {
  const rackOf = new Map(hosts.map((host) => [host.name, host.rack]));
  const capacities: number[] = [];
  const numbers = new Map<string, number>();
  const limit = (kind: string, name: string, bitsPerSecond: number | undefined): void => {
    if (bitsPerSecond === undefined) return;
    for (const way of ["in", "out"]) numbers.set(`${kind} ${way} ${name}`, capacities.push((bitsPerSecond / 8) * PAYLOAD_SHARE) - 1);
  };
  for (const { name, transferRateBitsPerSecond } of hosts) limit("host", name, transferRateBitsPerSecond);
  for (const { name, transferRateBitsPerSecond } of racks) limit("rack", name, transferRateBitsPerSecond);

  const paths = copies.map(({ sourceHost, targetHost }) => {
    if (sourceHost === targetHost) return [];
    const [from, to] = [rackOf.get(sourceHost), rackOf.get(targetHost)];
    const links = [`host out ${sourceHost}`, `host in ${targetHost}`, ...(from === to ? [] : [`rack out ${from}`, `rack in ${to}`])];
    return links.flatMap((link) => numbers.get(link) ?? []);
  });
  const followers: number[][] = [];
  copies.forEach(({ upstream }, index) => {
    const of = upstream === undefined ? -1 : copies.indexOf(upstream);
    if (of >= 0) (followers[of] ??= []).push(index);
  });
  return maxMinRates(paths, capacities, followers).map((rate, copy) =>
    (paths[copy]!.length === 0 || rate === Infinity ? undefined : Math.max(1, Math.floor(rate))));
}

interface Paced extends LimitedCopy {
  bytesPerSecond: number | undefined;
  apply(bytesPerSecond: number): void;
}

/** Keeps the copies under way within the declared limits: shares are reckoned anew when one starts, ends or changes its source. */
export class Pacer {
  private readonly paced = new Map<object, Paced>();
  private readonly limited: boolean;

  constructor(private readonly limits: Limits) {
    this.limited = [...limits.hosts, ...limits.racks].some((one) => one.transferRateBitsPerSecond !== undefined);
  }

  /**
   * This copy reads from there from now on.
   * @param copy names it; `upstream` is the one it reads from, where that is still arriving
   * @param apply called with each later share
   * @returns its share; undefined: not limited, and never will be from this source
   */
  feed(copy: object, from: { sourceHost: string; targetHost: string; upstream?: object }, apply: Paced["apply"]): number | undefined {
    if (!this.limited) return undefined;
    const { sourceHost, targetHost } = from;
    const upstream = from.upstream && this.paced.get(from.upstream);
    const before = this.paced.get(copy);
    const paced: Paced = Object.assign(before ?? { bytesPerSecond: undefined }, { sourceHost, targetHost, upstream, apply: () => undefined });
    this.paced.set(copy, paced);
    this.share();
    paced.apply = apply;
    return paced.bytesPerSecond;
  }

  end(copy: object): void {
    if (this.paced.delete(copy)) this.share();
  }

  private share(): void {
    const all = [...this.paced.values()];
    const shares = fairShares(all, this.limits);
    all.forEach((one, index) => {
      const share = shares[index];
      if (share === one.bytesPerSecond) return;
      one.bytesPerSecond = share;
      if (share !== undefined) one.apply(share);
    });
  }
}
