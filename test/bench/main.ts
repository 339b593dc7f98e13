/** `npm run bench`, once everything is installed (scripts/bench.mjs). */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { down, installTemplate, status, up } from "../lab";
import type { Lab } from "../lab/lab.mjs";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId } from "../hypervisors/libvirt/labFleet";
import { benchSpec, type BenchGround, type MeasuredRates } from "./inputs";
import { machineFacts, loadAverage } from "./machine";
import { measure, routeOf } from "./measure";
import { parseOptions, USAGE, type BenchOptions } from "./options";
import { PlainCopies } from "./plain";
import { reportOf, reportText } from "./report";

const OWN_LAB = "bench";
const RATE_LOOKS = 3;
const NOMINAL: MeasuredRates = { diskBytesPerSecond: 1e9, nicShare: 1 };
/** Of the virtual disk: room for the guest's own data beyond the random part. */
const SPARE_BYTES = 32 * 1024 * 1024;

const log = (line: string): void => console.error(line);
/** Ends what must not outlive us; set while a lab of ours is up. */
let removeLab = async (): Promise<void> => undefined;

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return console.log(USAGE);
  const lab = await openLab(options);
  try {
    await bench(lab, options);
  } finally {
    await removeLab();
  }
}

async function openLab({ lab: name, topology }: BenchOptions): Promise<Lab> {
  if (name !== undefined) {
    const found = await status({ name });
    if (found === null || found.hosts.some((host) => host.pid === null)) {
      throw new Error(`--lab: expected a lab that is up, got ${JSON.stringify(name)}: node scripts/lab.mjs up --name ${name}`);
    }
    return found;
  }
  const old = await status({ name: OWN_LAB });
  if (old?.ownerAlive) throw new Error(`another bench runs in the lab ${OWN_LAB}: wait for its end, two would measure each other`);
  await down({ name: OWN_LAB });
  removeLab = async () => {
    await down({ name: OWN_LAB });
    removeLab = async () => undefined;
  };
  return up({ name: OWN_LAB, topology, log, owner: process.pid });
}

async function bench(lab: Lab, options: BenchOptions): Promise<void> {
  const startedAt = new Date();
  const machine = await machineFacts();
  const template = await installTemplate({
    name: lab.name, host: lab.hosts[0]!.name, volume: `bench-${options.imageBytes}.qcow2`,
    dataBytes: options.imageBytes, virtualBytes: options.imageBytes + SPARE_BYTES, log,
  });
  const imageBytes = await allocationOf({ lab, template, rates: NOMINAL });
  const plainCopies = new PlainCopies(lab, imageBytes);
  try {
    await plainCopies.prepare();
    const rates = await measureRates(lab, plainCopies, imageBytes);
    const ground: BenchGround = { lab, template, rates };
    log(`image ${(imageBytes / 1e6).toFixed(1)} MB; disk ${(rates.diskBytesPerSecond / 1e6).toFixed(0)} MB/s a host when all write; NICs carry ${(100 * rates.nicShare).toFixed(0)} % of their rate`);
    const measured = await measure(ground, plainCopies, options, log);
    const report = reportOf(measured, imageBytes, rates.diskBytesPerSecond);
    const { copyStartupSeconds } = createLibvirt({ spec: benchSpec(ground, { policy: "auto", powerOn: false, count: 1 }) }).capabilities;
    const file = save(options.out, startedAt, {
      startedAt: startedAt.toISOString(), options, machine, loadAverageAtEnd: loadAverage(),
      topology: { racks: lab.racks, hosts: lab.hosts.map(({ name, rack, nicBitsPerSecond }) => ({ name, rack, nicBitsPerSecond })) },
      imageBytes, rates, copyStartupSeconds, report, measured,
    });
    const hosts = lab.hosts.length;
    console.log([
      "",
      `${options.members} full clones on ${hosts} hosts, image ${(imageBytes / 1e6).toFixed(1)} MB, ${options.powerOn ? "guests started" : "guests not started (--power-on includes their boots)"}; medians of ${options.repeat}`,
      `one plain copy (nc): ${report.plainSeconds.acrossRacks.toFixed(2)} s across racks, ${report.plainSeconds.withinRack.toFixed(2)} s within a rack`,
      `one clone costs beyond its bytes: ${report.startupSeconds.acrossRacks.toFixed(2)} s across racks, ${report.startupSeconds.local.toFixed(2)} s on the template's host; the time model says ${copyStartupSeconds} s`,
      "",
      reportText(report),
      "",
      `median s: first call to last member ready. makespan s, which is predicted: first byte to last member ready. Median prediction error ${(100 * report.medianPredictionError).toFixed(0)} %.`,
      report.leftovers.length === 0 ? "After each removal virsh found nothing of ours." : `LEFT BEHIND: ${report.leftovers.join(", ")}`,
      `${machine.cores} cores, kernel ${machine.kernel}, ${machine.qemu}; load ${machine.loadAverage} at the start. All measurements: ${file}`,
    ].join("\n"));
    if (report.leftovers.length > 0) process.exitCode = 1;
  } finally {
    await plainCopies.remove();
  }
}

/** The best of some looks: what else the machine does at that moment is no property of the hosts. */
async function measureRates(lab: Lab, plainCopies: PlainCopies, imageBytes: number): Promise<MeasuredRates> {
  const { from, across } = routeOf(lab.hosts);
  const nominal = Math.min(from.nicBitsPerSecond, across.nicBitsPerSecond) / 8;
  const disk: number[] = [];
  const nic: number[] = [];
  for (let look = 0; look < RATE_LOOKS; look++) {
    disk.push(await plainCopies.diskBytesPerSecond());
    nic.push(imageBytes / (await plainCopies.copy(from, across)) / nominal);
  }
  return { diskBytesPerSecond: Math.max(...disk), nicShare: Math.min(1, Math.max(...nic)) };
}

/** What a clone moves, as the provider sees it. */
async function allocationOf(ground: BenchGround): Promise<number> {
  const spec = benchSpec(ground, { policy: "auto", powerOn: false, count: 1 });
  const hypervisor = createLibvirt({ spec });
  try {
    const { template, templateProblem } = await hypervisor.observe({
      fleetId: freshFleetId(), namePrefix: spec.namePrefix, hosts: spec.hosts, spec, preflight: false,
      deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
    });
    if (!template) throw new Error(`template: ${templateProblem?.message ?? "not found"}`);
    return template.allocationBytes;
  } finally {
    await hypervisor.close();
  }
}

function save(dir: string, startedAt: Date, content: unknown): string {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${startedAt.toISOString().replaceAll(":", "-").slice(0, 19)}.json`);
  writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`);
  return file;
}

async function interrupted(signal: NodeJS.Signals): Promise<void> {
  await removeLab();
  process.exit(signal === "SIGINT" ? 130 : 143);
}
process.on("SIGINT", interrupted).on("SIGTERM", interrupted);

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
