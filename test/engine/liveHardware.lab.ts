/** Hardware of members that run, changed while they run, as virsh says of real machines. */
import assert from "node:assert/strict";
import type { FleetPlan } from "../../provider/fleet/model";
import { labInputs, labStatus, lines, virsh, type LabHost } from "../hypervisors/libvirt/labFleet";
import { LabRun } from "./labRun";

const MIB = 1 << 20;

describe("a running member's hardware", function () {
  this.timeout(120_000);
  let host: LabHost;
  let run: LabRun;
  let notices: string[];

  before(async () => { host = (await labStatus()).hosts[0]!; });
  afterEach(async () => { if (run?.state) await run.remove(); });

  const made = async (vm: object): Promise<(changes: object) => ReturnType<LabRun["up"]>> => {
    const inputs = await labInputs({ dataBytes: 8 * MIB, hosts: [host.name], inputs: { count: 1, namePrefix: "live", guest: "none" } });
    run = new LabRun(inputs);
    notices = [];
    const up = (changes: object) => run.up({ vm: { ...inputs.vm as object, ...vm, ...changes } }, { onNotice: (notice) => notices.push(notice) });
    await up({});
    return up;
  };
  const stats = async (...names: string[]): Promise<number[]> => {
    const text = await virsh(host, "domstats", "live-000");
    return names.map((name) => Number(new RegExp(`${name}=(\\d+)`).exec(text)?.[1]));
  };
  const reason = ({ reconfigure }: FleetPlan): string | undefined => reconfigure[0]?.reason;
  /** Every start makes another process: its id tells whether it is still the same one. */
  const process = async (): Promise<string> => (await virsh(host, "domid", "live-000")).trim();
  const cards = async (...flags: string[]): Promise<string[]> => lines(await virsh(host, "domiflist", "live-000", ...flags)).map((line) => line.split(/\s+/).slice(2).join(" "));

  it("takes CPUs and memory at once below its ceilings, as the preview said, and the rest at its next start", async () => {
    const up = await made({ numCpus: 1, maxCpus: 3, memory: 96, maxMemory: 128 });
    const before = await process();
    assert.deepEqual(await stats("vcpu.current", "vcpu.maximum"), [1, 3]);
    const { plan } = await up({ numCpus: 3, memory: 112 });
    assert.equal(reason(plan), "CPUs 1 → 3, memory 96 → 112 MiB, at once");
    assert.deepEqual(await stats("vcpu.current", "vcpu.maximum", "balloon.maximum"), [3, 3, 128 * 1024]);
    assert.match(await virsh(host, "dumpxml", "--inactive", "live-000"), /<currentMemory unit='KiB'>114688<[\s\S]*<vcpu placement='static'>3</);
    assert.equal(reason((await up({ numCpus: 2, memory: 112 })).plan), "CPUs 3 → 2, in effect from its next start");
    assert.deepEqual(await stats("vcpu.current"), [3]);
    assert.equal(await process(), before);
    assert.equal(reason((await up({ numCpus: 2, memory: 112 })).plan), undefined);
    await virsh(host, "destroy", "live-000");
    await up({ numCpus: 2, memory: 112 });
    assert.deepEqual(await stats("vcpu.current", "vcpu.maximum"), [2, 3]);
  });

  it("gets, replugs and loses network cards at once, the process being the same", async () => {
    await virsh(host, "net-define", await network("live-b"));
    await virsh(host, "net-start", "live-b");
    try {
      const up = await made({});
      const before = await process();
      const first = await cards();
      const { plan } = await up({ networks: [{ network: "default" }, { network: "live-b" }] });
      assert.equal(reason(plan), "networks default → default+live-b, at once");
      const two = await cards();
      assert.deepEqual([two.length, two[0]], [2, first[0]]);
      assert.match(two[1]!, /^live-b virtio 56:/);
      assert.deepEqual(await cards("--inactive"), two);
      await up({ networks: [{ network: "live-b" }, { network: "live-b" }] });
      assert.deepEqual((await cards()).map((line) => line.split(" ")[0]), ["live-b", "live-b"]);
      assert.deepEqual(await cards("--inactive"), await cards(), "with the addresses that they had");
      assert.equal(await process(), before);
      assert.equal(reason((await up({ networks: [{ network: "live-b" }, { network: "live-b" }] })).plan), undefined);
      assert.equal(reason((await up({ networks: [{ network: "live-b" }] })).plan), "networks live-b+live-b → live-b, at once");
      assert.equal((await cards("--inactive")).length, 1);
      // A guest without the driver for it keeps the card until it stops, and the run says so.
      if ((await cards()).length === 2) assert.match(notices.join(), /^live-000 on \S+: its network cards could not be changed while it runs, and will be as declared from its next start: its guest was asked/);
      else assert.deepEqual(notices, []);
      assert.equal(await process(), before);
    } finally {
      await run.remove();
      await virsh(host, "net-destroy", "live-b");
      await virsh(host, "net-undefine", "live-b");
    }
  });

  async function network(name: string): Promise<string> {
    const { writeFile } = await import("node:fs/promises");
    const file = `/tmp/vmfleet-${name}-${globalThis.process.pid}.xml`;
    await writeFile(file, `<network><name>${name}</name><bridge name='virbr-${name}'/></network>`);
    return file;
  }
});
