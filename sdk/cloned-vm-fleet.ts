import * as pulumi from "@pulumi/pulumi";
import { holdsPassword } from "../provider/fleet/words/redaction";
import type { FleetState, Learned, MemberState, ReadProfile, RunSummary, RunTimeline } from "../provider/fleet/model";
import { HOSTS_KEY, ORGANIZATION_KEY, OWN_OUTPUTS, type OwnOutput, PREVIEW_KEY, URN_KEY } from "../provider/pulumi/dynamic/keys";
import type { ClonedVmFleetArgs } from "./args";

/** Each output that there is, as a property of the resource: what is missing in the class does not compile. */
type Outputs = { readonly [Name in OwnOutput | "fleetId"]: pulumi.Output<FleetState[Name]> };

const MODULE = "vmfleet";
const TYPE = "ClonedVmFleet";
const TYPE_TOKEN = `pulumi-nodejs:dynamic/${MODULE}:${TYPE}`;

/**
 * Pulumi writes these functions into the state as text and runs them in another process, so they capture nothing:
 * each finds the installed provider by name, from the project's folder. `createRequire`, because the plain `require`
 * of such a text does not find the package from within its own checkout, where the examples live.
 */
const provider: pulumi.dynamic.ResourceProvider = {
  check: async (olds, news) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").check(olds, news),
  diff: async (id, olds, news) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").diff(id, olds, news),
  create: async (inputs) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").create(inputs),
  update: async (id, olds, news) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").update(id, olds, news),
  read: async (id, props) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").read(id, props),
  delete: async (id, props) =>
    require("module").createRequire(process.cwd() + "/")("pulumi-vmfleet/provider").delete(id, props),
};

/**
 * A fleet of virtual machines cloned from one template onto many hosts, each copy made from whichever finished copy
 * gets it there first.
 *
 * - A changed `fleetId` makes another fleet: the old one is deleted first. Everything else is changed in place.
 * - `customTimeouts` have no effect, since Pulumi does not tell them to a dynamic provider: `connectTimeout`,
 *   `callTimeout`, `lockTimeout`, `stallTimeout` and `shutdownTimeout` are what bounds a run.
 * - With `deletionProtection`, whatever removes a member is refused; with Pulumi's `protect`, deleting the resource.
 *
 * @example
 * const fleet = new ClonedVmFleet("workers", {
 *   namePrefix: "workers",
 *   template: { host: "a1", pool: "default", volume: "golden.qcow2" },
 *   count: 12,
 *   hosts: [{ name: "a1", uri: "qemu+ssh://root@a1/system", rack: "rack-a" }, …],
 *   vm: { numCpus: 2, memory: 2048, networks: [{ network: "default" }] },
 * });
 */
export class ClonedVmFleet extends pulumi.dynamic.Resource implements Outputs {
  /** What every object of the fleet is tagged with on the hosts. */
  declare readonly fleetId: pulumi.Output<string>;
  /** Of the template that the fleet was cloned from last. */
  declare readonly contentId: pulumi.Output<string>;
  /** By slot: name, host, rack, uuid, macs, state, disk chain. */
  declare readonly members: pulumi.Output<MemberState[]>;
  /** Base images under linked clones, and uploads of a local template. */
  declare readonly replicas: pulumi.Output<FleetState["replicas"]>;
  /** Frozen bases that stand under a member's delta disk. */
  declare readonly snapshots: pulumi.Output<FleetState["snapshots"]>;
  /** Members per declared host. */
  declare readonly placement: pulumi.Output<Record<string, number>>;
  /** What the last run that changed something took: seconds, bytes, policy. */
  declare readonly lastRun: pulumi.Output<RunSummary>;
  /** Who fed whom and when in the last run that cloned anything, at most 256 copies: `vmfleet picture` draws it. */
  declare readonly timeline: pulumi.Output<RunTimeline | undefined>;
  /** What the fleet's runs taught the time model. */
  declare readonly learned: pulumi.Output<Learned | undefined>;
  /** What members read when they boot, by content: under `start: "immediately"` it is fetched first. */
  declare readonly readProfiles: pulumi.Output<ReadProfile[] | undefined>;

  /** @param name unique within the stack; @param args the fleet; @param opts Pulumi's options for any resource */
  constructor(name: string, args: ClonedVmFleetArgs, opts: pulumi.CustomResourceOptions = {}) {
    const outputs = Object.fromEntries(OWN_OUTPUTS.map((key) => [key, undefined]));
    const internal = {
      [URN_KEY]: pulumi.createUrn(name, TYPE_TOKEN, opts.parent),
      [ORGANIZATION_KEY]: organization(),
      [PREVIEW_KEY]: pulumi.runtime.isDryRun() || undefined,
    };
    super(provider, name, { fleetId: undefined, ...args, hosts: withSecrets(args.hosts), ...outputs, ...internal }, {
      deleteBeforeReplace: true,
      ...opts,
      additionalSecretOutputs: [HOSTS_KEY, ...(opts.additionalSecretOutputs ?? [])],
    }, MODULE, TYPE);
  }
}

/** Of Pulumi Cloud's: one project and stack may be in two, and have one URN. Undefined where nobody said. */
function organization(): string | undefined {
  try {
    return pulumi.getOrganization();
  } catch {
    return undefined;
  }
}

/** Hosts as they are, but a URI that holds a password is secret, so that it stands encrypted in the state. */
function withSecrets(hosts: ClonedVmFleetArgs["hosts"]): ClonedVmFleetArgs["hosts"] {
  if (!Array.isArray(hosts)) return hosts;
  // What comes as an output is as secret as its maker said.
  return hosts.map((host) =>
    "uri" in host && typeof host.uri === "string" && holdsPassword(host.uri) ? { ...host, uri: pulumi.secret(host.uri) } : host,
  );
}
