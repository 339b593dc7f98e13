import assert from "node:assert/strict";
import { fleetOutputsSchema, OUTPUT_NAMES } from "../../provider/fleet";
import { declaredInOutputs, outputsOf, recordedState } from "../../provider/pulumi/dynamic/properties";
import { declared, inputs, state } from "./fakes";

/** With every output there is, the optional ones too. */
const full = state({
  timeline: { policy: "relay", imageBytes: 1, racks: [], clones: [], leftOut: 0 },
  learned: { runs: 1, networkFactor: 1, diskFactor: 1, finishSeconds: 0 },
  readProfiles: [{ contentId: "c", ranges: [{ offsetBytes: 0, lengthBytes: 1 }] }],
});

describe("a resource's outputs", () => {
  it("are those of the one list, and read back as the record and as what was declared", () => {
    assert.deepEqual(Object.keys(full).filter((name) => name !== "hosts").sort(), [...OUTPUT_NAMES].sort());
    const outs = outputsOf(inputs(), full);
    for (const name of OUTPUT_NAMES) assert.deepEqual(outs[name === "incarnation" ? "__incarnation" : name], full[name], name);
    assert.deepEqual(recordedState(outs), full);
    assert.deepEqual(declaredInOutputs(outs), declared);
    assert.ok(fleetOutputsSchema.safeParse(full).success);
  });
});
