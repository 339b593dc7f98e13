/** A handful of the campaign's kills on real daemons, in two lives that were put together to meet what lost disks before. */
import assert from "node:assert/strict";
import { labStatus } from "../hypervisors/libvirt/labFleet";
import { Providers } from "./kill";
import { liveOnLab } from "./labLife";
import { describeLife, type Declared, type Life } from "./life";

const declared: Declared = {
  hosts: 3, targets: { count: 3 }, clone: "full", policy: "auto", keepSeeds: "none", powerOn: false, start: "whenCopied", onTemplateChange: "keep",
  allowRecreate: true, memory: 256, disks: [{ label: "data", sizeBytes: 1 << 20, onDelete: "delete" }], abandon: false,
};

describe("fleets on real hosts with an administrator at work beside, and a provider that is killed", function () {
  this.timeout(180_000);
  const providers = new Providers();
  before(() => providers.warm());
  after(() => providers.close());

  async function live(life: Life): Promise<void> {
    const { kills } = await liveOnLab(life, { lab: await labStatus(), providers }).catch((error: Error) => {
      throw new Error(`${error.message}\n${describeLife(life)}`, { cause: error });
    });
    assert.ok(kills > 0, "it was killed");
  }

  it("leave copies of members and of their data disks alone, and keep every member that should live", () => live({
    seed: 1, template: "volume", declared, steps: [
      { kind: "up", kill: { share: 0.55, when: "before" } },
      { kind: "act", act: "clone", picks: [0, 0, 0] },
      { kind: "act", act: "cloneOverItsDisk", picks: [0.9, 0, 0] },
      { kind: "act", act: "undefine", picks: [0.5, 0, 0] },
      { kind: "declare", change: { memory: 512, targets: { count: 2 } } },
      { kind: "up", kill: { share: 0.4, when: "before" } },
    ],
  }));

  it("never use the disks of linked members that were renamed or taken out of the fleet", () => live({
    seed: 2, template: "volume", declared: { ...declared, clone: "linked", disks: [] }, steps: [
      { kind: "up", kill: { share: 0.7, when: "before" } },
      { kind: "act", act: "detachAsAnother", picks: [0, 0, 0] },
      { kind: "act", act: "rename", picks: [0.9, 0, 0] },
      { kind: "act", act: "defineTwin", picks: [0, 0, 0] },
      { kind: "up" },
    ],
  }));

  it("leave a machine alone that was taken out of the fleet and has a twin elsewhere, also when the twin is undefined", () => live({
    seed: 3, template: "volume", declared: { ...declared, targets: { countPerHost: 1 }, disks: [] }, steps: [
      { kind: "up", kill: { share: 0.3, when: "before" } },
      { kind: "act", act: "defineTwin", picks: [0, 0.5, 0] },
      { kind: "act", act: "snapshot", picks: [0.9, 0, 0] },
      { kind: "act", act: "detachAsAnother", picks: [0, 0, 0] },
      { kind: "up" },
    ],
  }));

  it("leave the base of a full member that is not merged under somebody's copy, until the copy is removed", () => live({
    seed: 4, template: "volume", declared: { ...declared, keepSeeds: "host" }, steps: [
      { kind: "up", kill: { share: 0.3, when: "before" } },
      { kind: "act", act: "clone", picks: [0.9, 0, 0] },
      { kind: "declare", change: { targets: { count: 2 }, keepSeeds: "none" } },
      { kind: "up" },
    ],
  }));

  it("make members anew of a template that was rewritten, killed when the earlier ones are gone", () => live({
    seed: 5, template: "volume", declared: { ...declared, clone: "linked", onTemplateChange: "replace" }, steps: [
      { kind: "up" },
      { kind: "act", act: "rewriteTemplate", picks: [0.7, 0, 0] },
      { kind: "up", kill: { share: 0.6, when: "before" } },
    ],
  }));
});
