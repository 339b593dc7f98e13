/** Whatever a front throws or says has lost the passwords of its URIs. */
import assert from "node:assert/strict";
import { FleetRefusedError, FleetRunError } from "../../provider/engine/types";
import { resourceLog } from "../../provider/front/resourceLog";
import type { Manner } from "../../provider/front/otherSide";
import { declared, frontWorld, origin, RESOURCE, state } from "./fakes";

const uri = "qemu+tcp://root:geheim@a1/system";
const recorded = { resource: RESOURCE, declaredBefore: declared, recorded: state() };

describe("what a front throws", () => {
  const thrown = [
    () => new Error(`no way to ${uri}`, { cause: new Error(`${uri}: refused`) }),
    () => new FleetRefusedError([{ path: "hosts[0]", message: `expected a host, got ${uri}` }]),
    () => new FleetRunError([`a1: destroy: ${uri}`], state()),
  ];

  it("names no password, from any of its doors", async () => {
    for (const make of thrown) {
      const fail = async (): Promise<never> => { throw make(); };
      const { front, dependencies } = frontWorld({ apply: fail, refresh: fail, remove: fail });
      dependencies.fleetDoors.previewFleet = fail;
      const doors = [
        async () => front.previewNew(await front.check(declared), origin),
        () => front.compare({ declared, declaredBefore: declared, recorded: state() }),
        () => front.create({ resource: RESOURCE, declared, origin }),
        () => front.update({ resource: RESOURCE, declared, fleetId: "abcdefghij" }),
        () => front.refresh(recorded),
        () => front.remove(recorded),
      ];
      for (const door of doors) {
        await assert.rejects(door, (error: unknown) => {
          const { message, stack, cause, ...rest } = error as FleetRunError;
          assert.match(message, /root:\*\*\*@a1/);
          assert.doesNotMatch(`${message} ${stack} ${String((cause as Error | undefined)?.stack)} ${JSON.stringify(rest)}`, /geheim/);
          return true;
        });
      }
    }
  });
});

describe("what is said of a resource", () => {
  it("arrives one after the other, a live text once, without passwords", async () => {
    const said: [Manner, string][] = [];
    const log = resourceLog({ say: async (_resource, text, manner) => { await Promise.resolve(); said.push([manner, text]); }, onGone: () => undefined }, RESOURCE);
    log.live("at it");
    log.live("at it");
    log.info(`asked ${uri}`);
    log.warn("careful");
    await log.settled();
    assert.deepEqual(said, [["live", "at it"], ["info", "asked qemu+tcp://root:***@a1/system"], ["warning", "careful"]]);
  });
});
