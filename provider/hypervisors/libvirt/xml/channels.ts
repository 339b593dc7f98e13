import { AGENT_CHANNEL } from "./domainXml";
import { all, text } from "./xml";

/** Of a domain element: whether its guest's agent can be asked. */
export const hasAgentChannel = (domain: unknown): boolean =>
  all(domain, "devices", "channel").some((channel) => text(channel, "target", "@name") === AGENT_CHANNEL);
