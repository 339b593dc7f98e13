import assert from "node:assert/strict";
import type { FleetState } from "../../provider/fleet/model";
import { NO_RUN, parseState, recordState } from "../../provider/fleet";
import { defaultsVersionOf, parseFleetSpec } from "../../provider/fleet";
import { specOf } from "../../provider/front/declared";
import { made, FLEET, INCARNATION, observation, reachable } from "../fleet/build";

describe("what inputs that are left out mean", () => {
  const declared = { namePrefix: "w", template: { host: "a1", domain: "golden" }, count: 1, hosts: [{ name: "a1", uri: "qemu:///system" }] };

  it("is kept as recorded: a fleet of a version that recorded none keeps what it meant then", () => {
    const before = made().state;
    const { defaultsVersion: _none, ...rest } = before;
    const older: FleetState = rest;
    assert.equal(_none, 3);
    assert.equal(defaultsVersionOf(older), 1);
    assert.equal(specOf(declared, older).defaultsVersion, 1);
    const again = recordState({ spec: specOf(declared, older), fleetId: FLEET, incarnation: INCARNATION, observation: observation([reachable("a1")]), previous: older, lastRun: NO_RUN });
    assert.equal("defaultsVersion" in again, false, "and none is recorded for it later");
    assert.equal(parseState(JSON.parse(JSON.stringify(again)))?.defaultsVersion, undefined);
  });

  it("is what the newest version says, of a fleet that is new", () => {
    assert.equal(defaultsVersionOf(undefined), 3);
    assert.equal(specOf(declared).defaultsVersion, 3);
    assert.equal(parseFleetSpec(declared).spec?.defaultsVersion, 3);
  });

  it("is refused where a newer version recorded what this one does not know", () => {
    const before = made().state;
    assert.throws(() => parseState({ ...JSON.parse(JSON.stringify(before)) as object, defaultsVersion: 4 }), /defaultsVersion: expected what this version or an older one writes there, got 4/);
  });
});
