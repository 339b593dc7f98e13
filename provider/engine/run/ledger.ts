import { memberKeyOn } from "../../fleet";
import type { MemberId, ObservedMember, ReachableHost } from "../../fleet/model";

/**
 * What this run did to members, for hosts that cannot be looked at again: a member that runs on a host that went silent
 * must not be forgotten, or the next run would make a second one of the same UUID and MACs.
 */
export class Ledger {
  /** Hosts on which anything may have changed. */
  readonly worked = new Set<string>();
  /** By host, then by member. */
  private readonly made = new Map<string, Map<string, ObservedMember>>();
  private readonly gone = new Set<string>();
  private readonly adopted = new Set<string>();

  /** Its definition was sent: from now on it may exist. */
  defining(host: string, member: ObservedMember): void {
    let made = this.made.get(host);
    if (!made) this.made.set(host, made = new Map());
    made.set(memberKeyOn(host, member), member);
  }

  /** The host itself said that it could not be defined. */
  notDefined(host: string, id: MemberId): void {
    this.made.get(host)?.delete(memberKeyOn(host, id));
  }

  destroyed(host: string, id: MemberId): void {
    this.gone.add(memberKeyOn(host, id));
  }

  /** Its tag may bear this run's incarnation by now. */
  adopting(host: string, id: MemberId): void {
    this.adopted.add(memberKeyOn(host, id));
  }

  /** The host as it was seen before the run, with what the run did since. */
  over(before: ReachableHost, incarnation: string): ReachableHost {
    const key = (member: ObservedMember) => memberKeyOn(before.name, member);
    const made = [...this.made.get(before.name)?.values() ?? []];
    const again = new Set(made.map(key));
    const stayed = before.members
      .filter((member) => !this.gone.has(key(member)) && !again.has(key(member)))
      .map((member) => (this.adopted.has(key(member)) ? { ...member, incarnation } : member));
    return { ...before, members: [...stayed, ...made].sort((a, b) => a.slot - b.slot || a.generation - b.generation) };
  }
}
