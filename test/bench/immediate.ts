/**
 * `npx tsx test/bench/immediate.ts [RUNS] [NIC_BITS_PER_SECOND]` in a running lab (VMFLEET_LAB): from the request to the
 * guest's own first line, as a share of the whole copy, for a 512 MiB image whose guest reads 40 MB of it to boot.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { memberMacs, memberUuid } from "../../provider/fleet/identity";
import type { EarlyOrder } from "../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId, lab, LAB_NAME, labInputs, labStatus, specOf } from "../hypervisors/libvirt/labFleet";

const MIB = 1 << 20;

async function main(runs: number, nicBitsPerSecond: number | undefined): Promise<void> {
  const { hosts } = await labStatus();
  const inputs = await labInputs({ dataBytes: 510 * MIB, virtualBytes: 512 * MIB });
  // Forty megabytes from all over the image.
  (inputs.vm as { cmdline: string }).cmdline += " vmfleet.read=60,10 vmfleet.read=190,10 vmfleet.read=320,10 vmfleet.read=450,8";
  const spec = specOf({ ...inputs, count: 1, start: "immediately", policy: "relay" });
  const target = hosts[1]!;
  for (const host of [hosts[0]!, target]) await lab.setRate({ name: LAB_NAME, host: host.name, bitsPerSecond: nicBitsPerSecond });
  const shares: number[] = [];
  try {
    for (let run = 0; run < runs; run++) {
      const fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "bench" };
      const hv = createLibvirt({ spec });
      const observe = () => hv.observe({ fleetId: fleet.fleetId, namePrefix: "bench", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
      const contentId = (await observe()).template!.contentId;
      const base = { kind: "base", host: target.name, slot: 0, generation: 0 } as const;
      const name = `bench-${fleet.fleetId}`;
      const order: EarlyOrder = {
        fleet, host: target.name, slot: 0, name, uuid: memberUuid(fleet.fleetId, 0), macs: memberMacs(fleet.fleetId, 0, 1), kind: "full",
        generation: 0, contentId, vm: spec.vm, autostart: false, base,
      };
      const log = join(target.poolDir, "..", "log", "qemu", `${name}.serial.log`);
      const began = Date.now();
      const seconds = (): number => (Date.now() - began) / 1000;
      let copied = Infinity;
      const copying = hv.clone({ fleet, contentId, source: { kind: "template", host: hosts[0]!.name }, target: base }, {}).then(() => { copied = seconds(); });
      let started = Infinity;
      const starting = hv.startEarly!(order).then(() => { started = seconds(); });
      const settling = Promise.all([copying, starting]).then(() => hv.settle!(order));
      await lab.until(async () => (await readFile(log, "utf8").catch(() => "")).includes("VMFLEET BOOTED"), { what: "the guest's first line", timeoutMs: 300_000 });
      const firstLine = seconds();
      await settling;
      const settled = seconds();
      // The same boot from the local disk: what of it is the guest's own time.
      await hv.power({ ...order, to: "stopped", shutdownMs: 0 });
      const again = Date.now();
      await hv.power({ ...order, to: "running", shutdownMs: 0 });
      await lab.until(async () => (await readFile(log, "utf8")).split("VMFLEET BOOTED").length > 2, { what: "the second boot", timeoutMs: 300_000 });
      const localBoot = (Date.now() - again) / 1000;
      shares.push(firstLine / copied);
      console.log(JSON.stringify({ run, started, firstLine, copied, settled, localBoot, share: firstLine / copied }));
      await hv.destroy({ ...order, kind: "member", shutdownMs: 0 });
      await hv.close();
      await rm(log, { force: true });
    }
    console.log(JSON.stringify({ medianShare: shares.sort((a, b) => a - b)[Math.floor(shares.length / 2)] }));
  } finally {
    for (const host of [hosts[0]!, target]) await lab.setRate({ name: LAB_NAME, host: host.name });
  }
}

main(Number(process.argv[2] ?? 3), process.argv[3] === undefined ? undefined : Number(process.argv[3])).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
