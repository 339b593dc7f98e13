/** A short share of `npm run campaign`: the same lives at every run, so that one that goes wrong can be lived again. */
import { drawLife, describeLife, SIMULATED } from "./life";
import { liveSimulated } from "./simulatedLife";

const LIVES = 200;
const SHARES = 4;

describe("a fleet with an administrator at work beside, and a provider that dies anywhere", () => {
  for (let share = 0; share < SHARES; share++) {
    const first = 1 + share * LIVES / SHARES;
    it(`loses nothing of anybody's in lives ${first} to ${first + LIVES / SHARES - 1}`, async () => {
      for (let seed = first; seed < first + LIVES / SHARES; seed++) {
        const life = drawLife(seed, SIMULATED);
        await liveSimulated(life).catch((error: Error) => {
          throw new Error(`${error.message}\n${describeLife(life)}\nagain: npm run campaign -- --replay ${seed}`, { cause: error });
        });
      }
    }).timeout(60_000);
  }
});
