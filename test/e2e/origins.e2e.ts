/** Whose fleet it is, where names alone do not say: other people's backends, ids that come late, runs that were killed. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { ClonedVmFleetArgs } from "../../sdk";
import { until } from "../lab";
import { cannotRun, ensureLab, installSmall, labFleet, type Lab, labModule, leftovers, openStack, type TestStack, virsh } from "./harness";

const { ClonedVmFleet } = require("pulumi-vmfleet") as typeof import("../../sdk");

describe("a fleet's origin, through Pulumi", function () {
  this.timeout(300_000);
  let lab: Lab;
  const open: TestStack[] = [];

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
    await installSmall(lab);
  });
  afterEach(async () => { for (const stack of open.splice(0).reverse()) await stack.close(); });

  /** A stack of its own backend, whose one fleet is declared by `args`. */
  const stackOf = async (args: () => Record<string, unknown>, env: Record<string, string> = {}) => {
    const stack = await openStack("origin", { program: async () => { new ClonedVmFleet("fleet", args() as unknown as ClonedVmFleetArgs); }, env });
    open.push(stack);
    return stack;
  };
  const small = (changes: Record<string, unknown>) => labFleet(lab, { template: { host: "a1", pool: "default", volume: "small.qcow2" }, shutdownTimeout: 0, ...changes });
  const uuidsOf = (prefix: string) => lab.hosts.flatMap(({ name }) => virsh(lab, name, "list", "--all", "--name").split("\n")
    .filter((domain) => domain.startsWith(`${prefix}-`)).map((domain) => `${domain} on ${name}: ${virsh(lab, name, "domuuid", domain)} ${virsh(lab, name, "domid", domain)}`));
  const warned = (said: { message: string; severity: string }[]) => said.filter(({ severity }) => severity === "warning").map(({ message }) => message).join("\n");

  it("is its backend's: of two with the same names in two, the second takes nothing of the first, and leaves it whole", async () => {
    const args = () => small({ namePrefix: "same" });
    const first = await stackOf(args);
    await first.up();
    const before = uuidsOf("same");
    const second = await stackOf(args);
    assert.match(warned((await second.preview()).said), /would refuse this: namePrefix: expected names that are free, got "same-000"/);
    assert.match((await second.failingUp()).output, /expected names that are free, got "same-000".* not of this fleet/);
    assert.deepEqual(uuidsOf("same"), before);
    await second.destroy();
    assert.deepEqual(uuidsOf("same"), before);
    assert.deepEqual((await first.up()).changes, { same: 2 });
  });

  it("is said by a given fleetId, and what is taken over is named", async () => {
    const first = await stackOf(() => small({ namePrefix: "given", count: 1 }));
    await first.up();
    const { fleetId, members: [member] } = await first.fleet();
    const second = await stackOf(() => small({ namePrefix: "given", count: 1, fleetId }));
    const taken = new RegExp(`takes over 1 member .*: given-000 on ${member!.host}`);
    assert.match(warned((await second.preview()).said), taken);
    assert.match(warned((await second.up()).said), taken);
    await first.destroy();
    assert.equal(virsh(lab, member!.host, "domuuid", "given-000"), member!.uuid);
  });

  it("may come from another resource: the preview waits for it, the run has it", async () => {
    const stack = await openStack("origin", {
      program: async () => {
        const { value } = new Later("later", {});
        new ClonedVmFleet("fleet", small({ namePrefix: "late", count: 1, fleetId: value }) as unknown as ClonedVmFleetArgs);
      },
    });
    open.push(stack);
    assert.match((await stack.preview()).said[0]!.message, /plan depends on values that are not known yet: fleetId/);
    await stack.up();
    assert.equal((await stack.fleet()).fleetId, "laterfleet");
    assert.deepEqual((await stack.up()).changes, { same: 3 });
    await stack.destroy();
    assert.deepEqual(leftovers(lab, "laterfleet", "late"), []);
  });

  it("stands in an update plan: up --plan does what the preview said, and refuses what it did not", async () => {
    let count = 1;
    const stack = await stackOf(() => small({ namePrefix: "plan", count }), { PULUMI_EXPERIMENTAL: "true" });
    const plan = join(stack.folder, "plan.json");
    await stack.preview({ plan });
    await stack.up({ plan });
    assert.equal((await stack.fleet()).members.length, 1);
    count = 2;
    await stack.preview({ plan });
    count = 3;
    await assert.rejects(stack.up({ plan }), /violates plan: properties changed:.*count/);
    assert.equal(uuidsOf("plan").length, 1);
    count = 2;
    await stack.up({ plan });
    assert.equal((await stack.fleet()).members.length, 2);
  });

  it("of a killed create goes for the hosts it had: one that is taken out since is asked for, and its members are not made twice", async () => {
    const { setRate } = await labModule();
    const [fast, slow] = ["b2", "b1"];
    const declared = (...names: string[]) => {
      const args = small({ namePrefix: "killed", count: undefined, countPerHost: 1, policy: "singleSource" });
      return { ...args, hosts: (args["hosts"] as { name: string }[]).filter(({ name }) => name === "a1" || names.includes(name)), template: { host: "a1", pool: "default", volume: "golden.qcow2" } };
    };
    let args = declared(fast!, slow!);
    const stack = await stackOf(() => args);
    await setRate({ name: lab.name, host: slow, bitsPerSecond: 8e6 });
    let on: string;
    try {
      const running = stack.up().then(() => "done", () => "failed");
      await until(() => uuidsOf("killed").some((line) => line.includes(` on ${fast}:`)), { timeoutMs: 120_000, what: `the member on ${fast}` });
      process.kill(provider(), "SIGKILL");
      assert.equal(await running, "failed");
      on = uuidsOf("killed").find((line) => line.includes(` on ${fast}:`))!;
    } finally {
      await setRate({ name: lab.name, host: slow });
    }
    args = declared(slow!);
    const name = on.split(" ")[0];
    const { output } = await stack.failingUp();
    assert.match(output, new RegExp(`allowRecreate: expected true for a change that (moves|destroys) .*${name}`));
    assert.ok(uuidsOf("killed").includes(on), "nothing was touched");
    args = declared(fast!, slow!);
    assert.match(warned((await stack.up()).said), new RegExp(`takes over .*${name} on ${fast}`));
    assert.ok(uuidsOf("killed").includes(on), "it is the same machine");
    args = declared(slow!);
    await stack.up();
    assert.deepEqual(uuidsOf("killed").map((line) => line.split(":")[0]!.split(" ")[2]).sort(), ["a1", slow]);
    const { fleetId } = await stack.fleet();
    await stack.destroy();
    assert.deepEqual(leftovers(lab, fleetId, "killed"), []);
  });
});

/** The provider of the run that this process has under way. */
function provider(): number {
  const parents = new Map<number, number>();
  const providers: number[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      parents.set(pid, Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
      if (/dynamic-provider/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8"))) providers.push(pid);
    } catch {
      // it ended meanwhile
    }
  }
  const isOurs = (pid: number | undefined): boolean => pid === process.pid || (pid !== undefined && isOurs(parents.get(pid)));
  return providers.find(isOurs) ?? assert.fail("expected a provider at work, found none");
}

/** A resource whose output is not known in a preview. */
class Later extends pulumi.dynamic.Resource {
  declare readonly value: pulumi.Output<string>;
  constructor(name: string, props: pulumi.Inputs) {
    super({ create: async () => ({ id: "later", outs: { value: "laterfleet" } }) }, name, { value: undefined, ...props }, {});
  }
}
