/** What is declared of when a started member is ready, and of how many may get there at once. */
import { z } from "zod";
import type { Problem, WaitFor } from "../model";
import { expected } from "../words/problems";
import { choice, integer, MAX_MEMBERS, object, seconds } from "./fields";
import { given, type Raw } from "./raw";
import { UNKNOWN } from "./unknowns";

const FORMS = '"started", "guestAgent", "address" or { tcpPort: 22 }';
/** Of @pulumi/vsphere, whose waitForGuestNetTimeout counts minutes: hence the unit in the name. */
const DEFAULT_SECONDS = 300;

export const waitingFields = {
  waitFor: z.union([
    choice(["started", "guestAgent", "address"]),
    object("an object: { tcpPort }", {
      tcpPort: integer(1, 65_535).describe("Port of the guest that must take connections, tried from where the provider runs, at each of the guest's addresses."),
    }),
  ], { error: (issue) => expected(FORMS, issue.input) }).default("started")
    .describe("When a started member is ready (docs/waiting.md). started: at once. guestAgent: QEMU's guest agent in it answers. address: it has an IP address, by its agent, else by the lease of its network, else by what its host heard. { tcpPort }: it takes connections there. Members are waited for when they are made or started, never again; waiting holds up no other member. With powerOn false nothing is waited for."),
  waitForTimeoutSeconds: seconds(1).default(DEFAULT_SECONDS)
    .describe("Seconds from a member's start until it must be ready. One that is not is kept and fails by name; the next `pulumi up` waits for it again."),
  maxConfiguring: integer(1, MAX_MEMBERS).default(MAX_MEMBERS)
    .describe("Members at once, over the whole fleet, that were started and are not ready yet: so many guests boot and ask for addresses together. Needs a waitFor other than started. Default: no limit."),
};

type WaitForInput = z.output<typeof waitingFields.waitFor>;

export const waitForOf = (declared: WaitForInput): WaitFor =>
  (typeof declared === "object" ? { kind: "tcpPort", port: declared.tcpPort } : { kind: declared });

/** What it waits for is easier heard from a guest that can be asked. */
export const asksGuests = ({ kind }: WaitFor): boolean => kind !== "started";

/** Without a waitFor nobody knows when a guest has booted: limits of that are most likely meant to have one. */
export function waitingProblems(raw: Raw): Problem[] {
  if (raw.waitFor === UNKNOWN || (given(raw.waitFor) && raw.waitFor !== "started")) return [];
  return (["waitForTimeoutSeconds", "maxConfiguring"] as const).filter((key) => given(raw[key])).map((key) => ({
    path: key, message: `expected waitFor "guestAgent", "address" or { tcpPort } beside ${key}, got "started", with which nobody is waited for; add it, or remove ${key}`,
  }));
}
