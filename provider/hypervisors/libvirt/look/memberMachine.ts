import { HypervisorError } from "../../hypervisor";
import type { HostSession } from "../connection/session";
import { Flag } from "../rpc/protocol";
import type { TemplateMachine } from "../xml/memberDefinition";
import { tagOf } from "./memberDomain";
import { memberTagOf } from "./ownership";
import { disksOf } from "../volumes/contentId";
import type { MemberTag } from "../xml/tags";

/**
 * The hardware of a member that inherited it, if there is one of the same image, for new ones like it: where the template itself cannot be looked at any more, its members have
 * what they inherited. What was changed of that one by hand is inherited, too.
 */
export async function memberMachine(sessions: readonly HostSession[], fleetId: string, contentId: string): Promise<TemplateMachine | undefined> {
  return await machineOf(sessions, fleetId, (tag) => tag.contentId === contentId) ?? machineOf(sessions, fleetId, () => true);
}

async function machineOf(sessions: readonly HostSession[], fleetId: string, isFit: (tag: MemberTag) => boolean): Promise<TemplateMachine | undefined> {
  for (const session of sessions) {
    try {
      const machine = await session.run("look at a member", async (client) => {
        for (const domain of await client.listDomains()) {
          const tag = memberTagOf(domain, await tagOf(client, domain), fleetId);
          if (tag?.hardware !== "template" || !isFit(tag)) continue;
          const member = { slot: tag.slot, generation: tag.generation, count: disksOf(tag.contentId).length };
          return { xml: await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure), member };
        }
        return undefined;
      });
      if (machine) return machine;
    } catch (error) {
      if (!(error instanceof HypervisorError)) throw error; // a host that does not answer has none to show
    }
  }
  return undefined;
}
