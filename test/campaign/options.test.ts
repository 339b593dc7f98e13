import assert from "node:assert/strict";
import { parseOptions } from "./options";

describe("options of the campaign", () => {
  it("have defaults", () => {
    assert.deepEqual(parseOptions([]), { lives: 5000, kills: 150, seed: 1, resume: false, help: false });
  });

  for (const [args, message] of [
    [["--lives", "many"], /^--lives: expected an integer from 0 to 1000000, got "many"$/],
    [["--seed", "0"], /^--seed: expected an integer from 1 to 1000000, got "0"$/],
    [["--only", "real"], /^--only: expected simulated or lab, got "real"$/],
    [["--lab", "x", "--language", "de_DE.UTF-8"], /^--language: expected no --lab/],
    [["--fast"], /--fast/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, () => {
      assert.throws(() => parseOptions([...args]), { message });
    });
  }
});
