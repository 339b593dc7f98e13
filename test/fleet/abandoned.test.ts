import assert from "node:assert/strict";
import { previewFleet } from "../../provider/engine";
import { FLEET, host, INCARNATION, made, plan, spec, unreachable, withHost } from "./build";

const hosts = ["a1", "a2", "b1"].map((name) => host(name));

describe("abandonHosts", () => {
  it("tells of a name that nobody has, and refuses nothing for it", () => {
    const { found, state } = made({ hosts, count: 3 });
    const next = plan(spec({ hosts, count: 3, abandonHosts: ["rack9-host7", "a9"] }), found, state);
    assert.deepEqual(next.problems, []);
    assert.deepEqual(next.warnings, [
      'abandonHosts: no host of this fleet is called "rack9-host7", so nothing is given up by it; remove it: a host that was given up before is forgotten by now',
      'abandonHosts: no host of this fleet is called "a9", so nothing is given up by it; remove it: a host that was given up before is forgotten by now',
    ]);
  });

  it("says which host may be meant only of one that does not answer, and only for a name long enough to tell", () => {
    const long = ["a1", "node-a2", "node-b2"].map((name) => host(name));
    const { found, state } = made({ hosts: long, count: 3 });
    const said = (abandonHosts: string[], silent?: string) => plan(
      spec({ hosts: long, count: 3, abandonHosts }), silent ? withHost(found, silent, () => unreachable(silent)) : found, state,
    ).warnings.filter((one) => one.startsWith("abandonHosts")).join("\n");
    assert.doesNotMatch(said(["node-c2"]), /did you mean/);
    assert.match(said(["node-c2"], "node-b2"), /did you mean "node-b2"\?/);
    assert.match(said(["node-c2"], "node-a2"), /did you mean "node-a2"\?/);
    assert.doesNotMatch(said(["c1"], "a1"), /did you mean/);
  });

  it("takes a host by its recorded name, its URI or its id without a word", () => {
    const { found, state } = made({ hosts, count: 3 });
    const dark = withHost(found, "b1", () => unreachable("b1"));
    for (const name of ["b1", "qemu+ssh://root@b1/system", "uuid-b1"]) {
      const next = plan(spec({ hosts: hosts.slice(0, 2), count: 3, abandonHosts: [name] }), dark, state);
      assert.deepEqual([next.problems, next.warnings], [[], ["b1 is abandoned: workers-002 forgotten, nothing is placed there"]]);
    }
  });
});

describe("a template on a host that is given up", () => {
  const declared = spec({ hosts, count: 6, abandonHosts: ["a1"], imageBytes: 1e9, policy: "earliestCompletion" });
  const question = { spec: declared, fleetId: FLEET, incarnation: INCARNATION };

  it("is refused where members must be copied, by the planner too, and nothing is copied from there", async () => {
    const { plan: planned, clones } = await previewFleet(question);
    assert.deepEqual(planned.problems, [{
      path: "template.host", message: 'expected a host that is not given up, got "a1", which abandonHosts names; put the template on another host, or take this one out of abandonHosts',
    }]);
    assert.deepEqual(clones, []);
  });

  it("is not needed where another host holds a copy of its content, on record or seen", async () => {
    const { found, state } = made({ hosts, count: 3 });
    const seeded = { ...state, members: state.members.map((one) => (one.host === "b1" ? { ...one, base: "frozen" as const } : one)) };
    const { plan: planned, clones } = await previewFleet({ ...question, previous: seeded });
    assert.deepEqual(planned.problems, []);
    assert.ok(clones.length > 0 && clones.every(({ sourceHost }) => sourceHost !== "a1"));
    const dark = { ...withHost(withHost(found, "a1", () => unreachable("a1")), "b1", (one) => ({ ...one, members: one.members.map((member) => ({ ...member, base: "frozen" as const })) })), template: undefined };
    assert.deepEqual(plan(declared, dark, state, { mode: "preview" }).problems, []);
    const bare = { ...withHost(found, "a1", () => unreachable("a1")), template: undefined };
    assert.deepEqual(plan(declared, bare, state, { mode: "preview" }).problems.map(({ path }) => path), ["template.host"]);
  });
});

describe("a local template that is still being read", () => {
  it("is no problem of a preview, which says what is guessed", () => {
    const declared = spec({ hosts, template: { file: "/golden.qcow2" }, count: 3 });
    const { found } = made({ hosts, count: 0 });
    const unread = { hosts: found.hosts, templateUnread: true };
    const first = plan(declared, unread, undefined, { mode: "preview" });
    assert.deepEqual([first.problems, first.warnings], [[], ["the template is still being read: what its copies cost is guessed, and up waits for it"]]);
    assert.equal(plan(declared, unread).problems[0]?.path, "template", "up would have waited");
  });
});
