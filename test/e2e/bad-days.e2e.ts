import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { ClonedVmFleetArgs } from "../../sdk";
import { cannotRun, ensureLab, labFleet, type Lab, labModule, leftovers, openStack, type TestStack, virsh } from "./harness";

const { ClonedVmFleet } = require("pulumi-vmfleet") as typeof import("../../sdk");

describe("a fleet through Pulumi, on a bad day", function () {
  this.timeout(180_000);
  let lab: Lab;
  let test: TestStack | undefined;

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
  });
  afterEach(async () => { await test?.close(); test = undefined; });

  const open = async (name: string, args: () => Record<string, unknown>) => {
    test = await openStack(name, {
      program: async () => { new ClonedVmFleet("fleet", args() as unknown as ClonedVmFleetArgs); },
    });
    return test;
  };

  it("reports all that is wrong with the inputs before anything is touched", async () => {
    const stack = await open("wrong", () => labFleet(lab, { count: -1, namePrefix: "no spaces", policy: "fastest" }));
    const { output } = await stack.failingUp();
    for (const property of ["count", "namePrefix", "policy"]) assert.match(output, new RegExp(`${property}.*expected`));
  });

  it("previews inputs that are not known yet, then creates from them", async () => {
    const stack = await openStack("unknown", {
      program: async () => {
        const other = new Later("later", {});
        new ClonedVmFleet("fleet", { ...labFleet(lab), namePrefix: "later", count: other.value } as unknown as ClonedVmFleetArgs);
      },
    });
    test = stack;
    assert.match((await stack.preview()).said[0]!.message, /depends on values that are not known yet: count/);
    await stack.up();
    assert.equal((await stack.fleet()).members.length, 1);
  });

  it("keeps a password in a URI out of the state and of everything printed", async () => {
    const args = labFleet(lab, { namePrefix: "secret", count: 1 });
    const hosts = (args["hosts"] as { uri: string }[]).map((host) => ({ ...host, uri: host.uri.replace("://", "://root:geheim@") }));
    const stack = await open("secret", () => ({ ...args, hosts }));
    const printed = [await stack.preview(), await stack.up(), await stack.refresh()];
    assert.doesNotMatch(JSON.stringify(printed), /geheim/);
    assert.match(stack.stateFile(), /secret-000/);
    assert.doesNotMatch(stack.stateFile(), /geheim/);
    assert.deepEqual((await stack.up()).changes, { same: 2 });
  });

  it("keeps secret user data secret: encrypted in the state, in nothing printed, and in the guest's image alone", async () => {
    const userData = pulumi.secret("#cloud-config\npassword: geheim\n");
    const sshAuthorizedKeys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH open"];
    const stack = await open("told", () => ({ ...labFleet(lab, { namePrefix: "told", count: 1 }), guest: { cloudInit: { userData }, sshAuthorizedKeys } }));
    const printed = [await stack.preview(), await stack.up(), await stack.refresh(), await stack.preview()];
    const { members: [member] } = await stack.fleet();
    assert.doesNotMatch(JSON.stringify(printed), /geheim/);
    assert.match(stack.stateFile(), /AAAAC3NzaC1lZDI1NTE5AAAAIH open/, "what is not secret can be read");
    assert.doesNotMatch(stack.stateFile(), /geheim/);
    const xml = virsh(lab, member!.host, "dumpxml", member!.name);
    const image = /[^/']*\.identity\.raw/.exec(xml)![0];
    assert.doesNotMatch(xml, /geheim/);
    assert.match(readFileSync(join(lab.hosts.find(({ name }) => name === member!.host)!.poolDir, image), "latin1"), /password: geheim/);
    assert.deepEqual((await stack.up()).changes, { same: 2 });
    await stack.destroy();
    assert.deepEqual(leftovers(lab, "s0.g0.identity", "told"), []);
  });

  it("keeps what was made when a host fails, and completes it with the next up", async () => {
    const { killDaemon, startDaemon } = await labModule();
    let killed: Promise<void> | undefined;
    const stack = await open("partial", () => labFleet(lab, { namePrefix: "partial", countPerHost: 1, count: undefined, retries: 0, connectTimeout: 3 }));
    const dying = () => { killed ??= killDaemon({ name: lab.name, host: "b2" }); };
    let output = "";
    await stack.stack.up({
      color: "never", onOutput: (text) => { output += text; }, onError: (text) => { output += text; },
      onEvent: ({ diagnosticEvent }) => { if (/members, [\d.]+ MB of/.test(diagnosticEvent?.message ?? "")) dying(); },
    }).then(() => assert.fail("expected this up to fail"), () => undefined);
    assert.ok(killed, "the run never got to cloning");
    await killed;
    assert.match(output, /b2/);
    assert.ok((await stack.fleet()).members.some((member) => member.host === "a1"), "what was made is recorded");
    await startDaemon({ name: lab.name, host: "b2" });
    await stack.up();
    const { members, fleetId } = await stack.fleet();
    assert.deepEqual(members.map((member) => member.host).sort(), ["a1", "a2", "b1", "b2"]);
    assert.equal(virsh(lab, "b2", "domstate", members.find((member) => member.host === "b2")!.name), "running");
    await stack.destroy();
    assert.deepEqual(leftovers(lab, fleetId, "partial"), []);
  });
});

/** A resource whose output is not known in a preview. */
class Later extends pulumi.dynamic.Resource {
  declare readonly value: pulumi.Output<number>;
  constructor(name: string, props: pulumi.Inputs) {
    super({ create: async () => ({ id: "later", outs: { value: 1 } }) }, name, { value: undefined, ...props }, {});
  }
}
