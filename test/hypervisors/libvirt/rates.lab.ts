/** Declared limits, measured by the interfaces' own counters. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf } from "../../../provider/fleet";
import type { FleetIdentity } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt, type Libvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;
const DATA = 24 * MIB;
const LIMIT = 8e7;

describe("limits to what copies use", function () {
  this.timeout(180_000);
  let hosts: LabHost[];
  let hv: Libvirt;
  const fleet: FleetIdentity = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "rates" };

  before(async () => { hosts = (await labStatus()).hosts; });
  afterEach(async () => {
    await hv.close();
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
    }
  });

  async function copies(limits: { host?: number; rack?: number }, targets: number[]): Promise<{ bits: number; most: number; seconds: number }> {
    const inputs = await labInputs({ dataBytes: DATA });
    const spec = specOf({
      ...inputs, count: 1, stallTimeout: 2,
      hosts: (inputs.hosts as object[]).map((host, i) => ({ ...host, ...(i === 0 && { transferRateBitsPerSecond: limits.host }) })),
      racks: (inputs.racks as object[]).map((rack, i) => ({ ...rack, ...(i === 0 && { transferRateBitsPerSecond: limits.rack }) })),
    });
    hv = createLibvirt({ spec });
    const seen = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "rates", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    const started = process.hrtime.bigint();
    const now = (): number => Number(process.hrtime.bigint() - started) / 1e9;
    const samples: { at: number; bytes: number }[] = [];
    const sample = async (): Promise<void> => void samples.push({ at: now(), bytes: (await lab.nicBytes(hosts[0]!)).tx });
    await sample();
    let done = false;
    const sampling = (async () => { while (!done) { await lab.until(() => now() - samples.at(-1)!.at > 0.5, { everyMs: 50, what: "half a second" }); await sample(); } })();
    await Promise.all(targets.map((i) => hv.clone({
      fleet, image: imageOf(seen.template!), source: { kind: "template", host: hosts[0]!.name },
      target: { kind: "base", host: hosts[i]!.name, slot: i, generation: 0, name: `rates-00${i}` },
    })));
    done = true;
    await sampling;
    await sample();
    // Two seconds at a time: a disk that halts for a moment lets a little more through afterwards.
    const rates = samples.flatMap((from) => {
      const to = samples.find((s) => s.at >= from.at + 2);
      return to ? [((to.bytes - from.bytes) * 8) / (to.at - from.at)] : [];
    });
    return { bits: (samples.at(-1)!.bytes - samples[0]!.bytes) * 8, most: Math.max(...rates), seconds: now() };
  }

  it("keeps two copies from one host within that host's limit together", async () => {
    const { bits, most, seconds } = await copies({ host: LIMIT }, [1, 2]);
    assert.ok(most < LIMIT * 1.2, `${most / 1e6} Mbit/s, over ${seconds} s`);
    assert.ok(most > LIMIT * 0.7, `only ${most / 1e6} Mbit/s of ${LIMIT / 1e6}`);
    assert.ok(bits > 2 * DATA * 8);
  });

  it("keeps copies that leave the rack within its uplink's limit", async () => {
    const { most, seconds } = await copies({ rack: LIMIT }, [2, 3]);
    assert.ok(most < LIMIT * 1.2, `${most / 1e6} Mbit/s, over ${seconds} s`);
  });

  it("goes on from another source under that one's limit", async () => {
    const [a1, a2, b1] = hosts as [LabHost, LabHost, LabHost];
    const inputs = await labInputs({ dataBytes: DATA });
    const limits: Record<string, number> = { [a1.name]: LIMIT, [b1.name]: 2 * LIMIT };
    const spec = specOf({ ...inputs, count: 1, hosts: (inputs.hosts as { name: string }[]).map((host) => ({ ...host, transferRateBitsPerSecond: limits[host.name] })) });
    hv = createLibvirt({ spec });
    const seen = await hv.observe({ fleetId: fleet.fleetId, namePrefix: "rates", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
    const image = imageOf(seen.template!);
    const template = { kind: "template", host: a1.name } as const;
    const base = (host: LabHost) => ({ kind: "base", host: host.name, slot: 7, generation: 0, name: "rates-007" }) as const;
    await hv.clone({ fleet, image, source: template, target: base(a2) });
    let changed: Promise<void> | undefined;
    const before = await lab.nicBytes(a1);
    await hv.clone({ fleet, image, source: template, target: base(b1) }, {
      onProgress: (done) => { if (done > DATA / 4) changed ??= hv.abilities.relaying.refeed({ fleet, image, target: base(b1), source: base(a2) }); },
    });
    await changed;
    const sent = (await lab.nicBytes(a1)).tx - before.tx;
    assert.ok(sent > DATA / 4 && sent < DATA * 0.9, `${sent} bytes came from the first source`);
    const [made, golden] = await Promise.all([b1, a1].map(async (host) => (await inventory(host)).volumes
      .filter((v) => (host === b1 ? v.includes(fleet.fleetId) && v.endsWith(".base.qcow2") : v === (inputs.template as { volume: string }).volume)).map((v) => join(host.poolDir, v))[0]!));
    await run("qemu-img", ["compare", "-U", made!, golden!]);
  });

  it("limits nothing where nothing was declared", async () => {
    const { bits, seconds } = await copies({}, [1, 2]);
    assert.ok(bits / seconds > LIMIT, `${bits / seconds / 1e6} Mbit/s`);
  });
});
