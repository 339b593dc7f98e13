import { memberKeyOn } from "../../fleet";
import type { FleetPlan, Observation, ObservedReplica } from "../../fleet/model";
import type { BaseKeeper } from "./baseKeeper";
import type { RunContext } from "../run/context";
import type { SourceBook } from "../distribution/sourceBook";
import { addStandingSources, declaredHosts, isFrozenSource } from "../distribution/sources";

/**
 * Enters into the books what stays of what the hosts hold: base images made, and those of them that are sources;
 * bases found frozen or half merged are the keeper's to finish.
 */
export function countStanding(
  { spec }: RunContext, plan: FleetPlan, observation: Observation, book: SourceBook, keeper: BaseKeeper,
): void {
  const { contentId } = book.image;
  const leaving = new Set(plan.destroy.map((one) => memberKeyOn(one.host, one)));
  const keyOf = (host: string, { contentId, purpose }: Pick<ObservedReplica, "contentId" | "purpose">) => `${purpose}/${contentId}@${host}`;
  const going = new Set(plan.removeReplicas.map((one) => keyOf(one.host, one)));
  addStandingSources(book, spec, observation, (replica, host) => going.has(keyOf(host, replica)));
  for (const { index, host } of declaredHosts(spec, observation)) {
    const members = host.members
      .filter((m) => m.kind === "full" && !leaving.has(memberKeyOn(host.name, m)))
      .sort((a, b) => a.slot - b.slot);
    const replicas = host.replicas.filter((r) => r.purpose === "replica" && r.contentId === contentId);
    book.stand(index, members.filter((m) => m.contentId === contentId && m.base !== "arriving").length + replicas.length);
    for (const member of members) {
      if (member.base !== "frozen" && member.base !== "consolidating") continue;
      const { slot, name, generation } = member;
      const seed = isFrozenSource(member, contentId);
      const source = !seed ? undefined : book.add({
        host: index, hostName: host.name, kind: "base", label: name,
        ref: { kind: "base", host: host.name, slot, generation },
      });
      keeper.add({ slot, name, host: host.name, rack: spec.hosts[index]!.rack, generation, source, seed });
    }
  }
}
