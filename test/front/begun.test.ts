import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FleetRunError, type RunRequest } from "../../provider/engine/types";
import { NO_RUN, recordState } from "../../provider/fleet";
import type { FleetPlan, FleetSpec, FleetState, Observation, RecordedHost } from "../../provider/fleet/model";
import { recordedHost } from "../../provider/fleet/record/host";
import { begunIn, withBegun } from "../../provider/front/begun";
import { FLEET, INCARNATION, member, observation, plan as planned, reachable, spec } from "../fleet/build";
import { create, declared, frontWorld, origin, plan, RESOURCE, state } from "./fakes";

const b2: RecordedHost = { ...recordedHost(spec().hosts[0]!), name: "b2", uri: "qemu+ssh://root@b2/system", uuid: "uuid-b2" };
const request = { resource: RESOURCE, declared, origin };
const again = { resource: RESOURCE, declared, declaredBefore: declared, recorded: state(), fleetId: "abcdefghij" };
/** Begins to work, as the engine tells it. */
const working = ({ onPlan }: RunRequest, hosts = ["a1"]) => onPlan!(plan({ create: [create] }), observation(hosts.map((name) => reachable(name))));

describe("what a killed run had begun", () => {
  it("is noted when the run begins to work, and forgotten once it has an end that is recorded", async () => {
    for (const failing of [false, true]) {
      const { front, noted } = frontWorld({
        apply: async (request) => {
          working(request);
          assert.deepEqual(noted, [["a1"]]);
          if (failing) throw new FleetRunError(["b1: clone: disk full"], state());
          return state();
        },
      });
      await front.create(request).catch(() => undefined);
      assert.deepEqual(noted, [["a1"], "forgotten"]);
    }
  });

  it("stays noted when the run ends otherwise, or nobody is left to record its end", async () => {
    const thrown = frontWorld({ apply: async (request) => { working(request); throw new Error("a bug"); } });
    await assert.rejects(thrown.front.create(request));
    assert.deepEqual(thrown.noted, [["a1"]]);
    const alone = frontWorld({
      apply: async (request) => {
        working(request);
        await new Promise(setImmediate);
        alone.otherSideGoes();
        throw new FleetRunError(["cancelled"], state());
      },
    });
    await assert.rejects(alone.front.create(request));
    assert.deepEqual(alone.noted, [["a1"]]);
  });

  it("is not noted of a run with nothing to do", async () => {
    const { front, noted } = frontWorld({ apply: async ({ onPlan }) => (onPlan!(plan(), { hosts: [] }), state()) });
    await front.create(request);
    assert.deepEqual(noted, ["forgotten"]);
  });

  it("counts as recorded hosts with work undone, in every method and in previews", async () => {
    const { front, entered } = frontWorld({ begun: [b2] });
    await front.previewNew(await front.check(declared), origin);
    await front.create(request);
    await front.update(again);
    await front.refresh(again);
    await front.remove(again);
    assert.deepEqual(entered.map(({ door }) => door), ["preview", "apply", "apply", "refresh", "remove"]);
    for (const { request: asked } of entered) assert.deepEqual(asked.previous!.hosts, [{ ...b2, unsettled: true, noted: true }]);
  });

  it("changes nothing where its hosts are declared or recorded", async () => {
    const renamed = { ...b2, name: "renamed", uri: "qemu+ssh://root@b1/system" };
    const { front, entered } = frontWorld({ begun: [renamed] });
    await front.create(request);
    assert.equal(entered[0]!.request.previous, undefined);
    const recorded = frontWorld({ begun: [b2] });
    await recorded.front.update({ ...again, recorded: state({ hosts: [b2] }) });
    assert.deepEqual(recorded.entered[0]!.request.previous!.hosts.map(({ name, unsettled }) => ({ name, unsettled })), [{ name: "b2", unsettled: undefined }]);
  });

  it("is forgotten when a look finds nothing to do and nothing left of it, or all of it known otherwise", async () => {
    const seen = ["a1", "b1"].map((name) => reachable(name));
    const leftover = { kind: "volume" as const, name: "p", bytes: 1 };
    const dark = (name: string) => ({ status: "unreachable" as const, name, reason: "connection refused" });
    const noted = (uri: string) => ({ ...b2, uri });
    const cases: [string, Observation["hosts"], FleetState["hosts"], Partial<FleetPlan>, boolean][] = [
      ["empty", [...seen, reachable("b2")], [b2], {}, true],
      ["with work to do", [...seen, reachable("b2")], [b2], { create: [create] }, false],
      ["with members", [...seen, reachable("b2", [member(0)])], [b2], {}, false],
      ["with a leftover", [...seen, reachable("b2", [], { leftovers: [leftover] })], [b2], {}, false],
      ["out of sight", [...seen, dark("b2")], [b2], {}, false],
      ["declared", seen, [noted("qemu+ssh://root@b1/system")], {}, true],
      ["declared and out of sight", [seen[0]!, dark("b1")], [noted("qemu+ssh://root@b1/system")], {}, false],
      ["one of two", [...seen, reachable("b2")], [b2, noted("qemu+ssh://root@x/system")], {}, false],
    ];
    for (const [what, hosts, begun, changes, isForgotten] of cases) {
      const one = frontWorld({ begun, observe: async () => observation(hosts), preview: { plan: plan(changes) } });
      await one.front.compare(again);
      assert.deepEqual(one.noted, isForgotten ? ["forgotten"] : [], what);
    }
    const recorded = frontWorld({ begun: [b2], observe: async () => observation([...seen, dark("b2")]) });
    await recorded.front.compare({ ...again, recorded: state({ hosts: [b2] }) });
    assert.deepEqual(recorded.noted, ["forgotten"], "recorded");
  });

  it("is why its hosts must answer, and says so", () => {
    const run: { spec: FleetSpec; fleetId: string; incarnation: string; previous?: FleetState } = { spec: spec({ count: 1 }), fleetId: FLEET, incarnation: INCARNATION };
    const noted = { ...b2, name: "c9", uri: "qemu+ssh://root@c9/system", uuid: "uuid-c9" } as FleetState["hosts"][number];
    const { previous } = withBegun(run, [noted]);
    const found = observation([...run.spec.hosts.map(({ name }) => reachable(name)), { status: "unreachable", name: "c9", reason: "connection refused" }]);
    assert.match(planned(run.spec, found, previous).problems.map(({ message }) => message).join(), /c9 \(connection refused\), which a run that was killed on this machine noted as one it worked on/);
    assert.match(planned(run.spec, found, previous, { mode: "preview" }).warnings.join(), /c9 does not answer \(connection refused\): a run that was killed on this machine noted it/);
    assert.ok(recordState({ ...run, observation: found, previous: previous!, lastRun: NO_RUN }).hosts.every((host) => !("noted" in host)));
  });

  it("is kept in a file without passwords, and done without where none can be", () => {
    const folder = mkdtempSync(join(tmpdir(), "vmfleet-begun-"));
    try {
      const hosts = [{ ...spec().hosts[0]!, name: "a1", uri: "qemu+ssh://root:geheim@a1/system" }];
      const run = { spec: { ...spec(), hosts }, fleetId: "abcdefghij", incarnation: "0", observation: observation([reachable("a1")]) };
      const begun = begunIn(join(folder, "vmfleet"));
      assert.deepEqual(begun.hostsOf("abcdefghij"), []);
      begun.note(run);
      assert.deepEqual(begun.hostsOf("abcdefghij").map(({ name, uuid }) => ({ name, uuid })), [{ name: "a1", uuid: reachable("a1").uuid }]);
      assert.doesNotMatch(readFileSync(join(folder, "vmfleet/abcdefghij.json"), "utf8"), /geheim/);
      // A later run that no longer declares b2 and is to empty it: killed as well, it leaves both noted.
      const previous = { ...state(), hosts: [b2] };
      begun.note({ ...run, previous, observation: observation([reachable("a1"), reachable("b2")]) });
      assert.deepEqual(begun.hostsOf("abcdefghij").map(({ name }) => name).sort(), ["a1", "b2"]);
      begun.forget("abcdefghij");
      assert.deepEqual(begun.hostsOf("abcdefghij"), []);
      const nowhere = begunIn(join(__filename, "vmfleet"));
      nowhere.note(run);
      nowhere.forget("abcdefghij");
      assert.deepEqual(nowhere.hostsOf("abcdefghij"), []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
