import assert from "node:assert/strict";
import { parseOptions } from "./options";

describe("options of the bench", () => {
  it("have defaults", () => {
    assert.deepEqual(parseOptions([]), {
      policies: ["singleSource", "rounds", "earliestCompletion", "auto"], members: 12, repeat: 3, imageBytes: 96 * 1024 * 1024,
      out: "bench-results", lab: undefined, topology: undefined, powerOn: false, help: false,
    });
  });

  it("take each policy once, in the order given", () => {
    assert.deepEqual(parseOptions(["--policies", "rounds,auto,rounds"]).policies, ["rounds", "auto"]);
  });

  for (const [args, message] of [
    [["--policies", "rounds,fastest"], /^--policies: expected some of auto, .*, got "fastest"$/],
    [["--repeat", "0"], /^--repeat: expected an integer from 1 to 100, got "0"$/],
    [["--members", "many"], /^--members: expected an integer from 1 to 1000, got "many"$/],
    [["--image-mib", "1e3"], /^--image-mib: expected an integer from 1 to 100000, got "1e3"$/],
    [["--lab", "lab", "--topology", "x.json"], /^--topology: expected without --lab/],
    [["--fast"], /--fast/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, () => {
      assert.throws(() => parseOptions([...args]), { message });
    });
  }
});
