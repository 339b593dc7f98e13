import assert from "node:assert/strict";
import { join } from "node:path";
import { clone, commandsAfter, newUser, type User } from "./asUser";
import { cannotRun, ensureLab, type Lab, leftovers, virsh } from "./harness";

/** What the pages say is typed as it stands there; the lab has another name, and the fleets are smaller. */
describe("the examples, by what their pages say to type", function () {
  this.timeout(600_000);
  let lab: Lab;
  let user: User;
  let root: string;

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
    user = await newUser({ VMFLEET_LAB: lab.name });
    root = clone(join(user.folder, "pulumi-vmfleet"));
  });
  after(() => user?.leave());

  const page = (example: string) => join(root, "examples", example, "README.md");
  const settings = async (where: string, own: Record<string, string>) => {
    const all = { network: lab.subnet.split(".").slice(0, 2).join("."), boot: lab.bootDir, ...own };
    for (const [key, value] of Object.entries(all)) await user.type(`pulumi config set ${key} ${value}`, where);
  };
  const outputs = async (where: string) => JSON.parse(await user.type("pulumi stack output --json", where)) as Record<string, any>;
  const named = (prefix: string) => lab.hosts.flatMap(({ name }) =>
    virsh(lab, name, "list", "--all", "--name").split("\n").filter((line) => line.startsWith(`${prefix}-`)).map((line) => `${line} on ${name}`)).sort();

  describe("quickstart", () => {
    let here: string;
    const typed: string[] = [];
    /** The next lines of the page, up to one with these words. */
    let rest: string[];
    const until = async (words: string) => {
      for (let line = ""; !line.includes(words);) {
        line = rest.shift() ?? assert.fail(`expected the page to say ${words}`);
        typed.push(await user.type(line.replace("count 20", "count 3"), here));
      }
      return typed.at(-1)!;
    };

    before(() => {
      here = join(root, "examples/quickstart");
      rest = commandsAfter(page("quickstart"), "then in this folder");
    });

    it("has a lab with a template, by the page's command", async () => {
      const [install, up, ...more] = commandsAfter(page("quickstart"), "In the root of the repository");
      assert.deepEqual([install, more], ["npm ci", []]); // done: what it installs is linked into the clone
      assert.match(await user.type(up!, root), /template \S+golden\.qcow2[^]*a1 {2}rack-a/);
    });

    it("creates its machines by npm install and pulumi up in its folder", async () => {
      await until("stack init");
      await settings(here, { count: "2" });
      const said = await until("pulumi up");
      assert.match(said, /\+2 VMs on 2 hosts in 2 racks/);
      assert.match(said, /\+ 2 created/);
      assert.equal((await outputs(here))["lastRun"].created, 2);
      assert.equal(named("workers").length, 2);
    });

    it("grows by a setting", async () => {
      await until("config set");
      assert.match(await until("pulumi up"), /~ 1 updated/);
      assert.equal(named("workers").length, 3);
    });

    it("is the same stack from the repository's root", async () => {
      await user.type("pulumi stack select dev", root);
      await settings(root, { count: "3" });
      assert.match(await user.type("pulumi up", root), /2 unchanged/);
    });

    it("leaves nothing when it is destroyed", async () => {
      assert.match(await until("destroy"), /- 2 deleted/);
      assert.deepEqual(named("workers"), []);
      assert.deepEqual(rest, []);
    });
  });

  it("hadoop puts each role where it is wanted, full and linked clones side by side", async () => {
    const here = join(root, "examples/hadoop");
    const [install, init, up] = commandsAfter(page("hadoop"), "then here");
    for (const line of [install!, init!]) await user.type(line, here);
    await settings(here, { computePerHost: "1" });
    assert.match(await user.type(up!, here), /\+ 4 created/);
    const placed = Object.entries(await outputs(here)).flatMap(([role, names]) => (names as string[]).map((text) => `${role} ${text.split(" on ")[1]}`)).sort();
    assert.deepEqual(placed, [
      "compute a1", "compute a2", "compute b1", "compute b2", "data a2", "data a2", "data b1", "data b2", "data b2", "name a1", "name b1",
    ]);
    const ids = (JSON.parse(await user.type("pulumi stack export", here)) as { deployment: { resources: { outputs?: { fleetId?: string } }[] } })
      .deployment.resources.flatMap(({ outputs: { fleetId } = {} }) => fleetId ?? []);
    await user.type("pulumi destroy", here);
    assert.deepEqual(named("hadoop"), []);
    const left = ids.flatMap((id) => leftovers(lab, id, "hadoop"));
    assert.equal(left.length, 5, "the data disks stay, as the page says");
    for (const line of left) {
      const [, host, volume] = /^(\w+): volume (\S+)$/.exec(line)!;
      virsh(lab, host!, "vol-delete", volume!, "--pool", "default");
    }
  });
});
