import assert from "node:assert/strict";
import { parseOptions } from "./options";

describe("options of the bench", () => {
  it("have defaults", () => {
    assert.deepEqual(parseOptions([]), {
      cases: ["copy"], subjects: ["singleSource", "rounds", "earliestCompletion", "relay", "auto", "swarm"], hosts: 4, repeat: 3,
      imageBytes: 512 * 1024 * 1024, out: "bench-results", help: false,
    });
  });

  it("take each policy once, in the order given", () => {
    assert.deepEqual(parseOptions(["--policies", "rounds,auto,rounds"]).subjects, ["rounds", "auto"]);
  });

  for (const [args, message] of [
    [["--cases", "copy,all"], /^--cases: expected some of copy, relayLoss.*, got "all"$/],
    [["--policies", "rounds,fastest"], /^--policies: expected some of singleSource, .*, got "fastest"$/],
    [["--hosts", "5"], /^--hosts: expected 4 or 8, got "5"$/],
    [["--repeat", "0"], /^--repeat: expected an integer from 1 to 100, got "0"$/],
    [["--image-mib", "1e3"], /^--image-mib: expected an integer from 1 to 100000, got "1e3"$/],
    [["--minutes", "soon"], /^--minutes: expected an integer from 1 to 10000, got "soon"$/],
    [["--fast"], /--fast/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, () => {
      assert.throws(() => parseOptions([...args]), { message });
    });
  }
});
