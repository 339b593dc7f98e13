import { HypervisorError } from "../../hypervisor";
import type { HostSession } from "../connection/session";
import { Flag } from "../rpc/protocol";
import type { TemplateMachine } from "../xml/memberDefinition";
import { tagOf } from "./memberDomain";
import { memberTagOf } from "./ownership";

/**
 * The hardware of a member that inherited it, for new ones like it: where the template itself cannot be looked at any more, its members have
 * what they inherited. What was changed of that one by hand is inherited, too.
 */
export async function memberMachine(sessions: readonly HostSession[], fleetId: string): Promise<TemplateMachine | undefined> {
  for (const session of sessions) {
    try {
      const machine = await session.run("look at a member", async (client) => {
        for (const domain of await client.listDomains()) {
          if (memberTagOf(domain, await tagOf(client, domain), fleetId)?.hardware === "template") return { xml: await client.domainXml(domain, Flag.xmlInactive | Flag.xmlSecure), isMember: true };
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
