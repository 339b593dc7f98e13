/** `npm run bench`, once everything is installed (scripts/bench.mjs). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { installTemplate } from "../lab";
import type { Lab } from "../lab/lab.mjs";
import { OwnLab } from "../lab/ownLab";
import { createLibvirt } from "../../provider/hypervisors/libvirt";
import { freshFleetId } from "../hypervisors/libvirt/labFleet";
import { caseOf, type CaseName, type CaseReport } from "./cases";
import type { BenchGround } from "./ground";
import { benchSpec } from "./inputs";
import { machineFacts, type MachineFacts } from "./machine";
import { parseOptions, USAGE, type BenchOptions } from "./options";
import { PlainCopies } from "./plain";

const TOPOLOGIES = { 4: join(__dirname, "../lab/topology.json"), 8: join(__dirname, "../lab/topology-8.json") };
/** Of the virtual disk: room for the guest's own data beyond the random part. */
const SPARE_BYTES = 32 * 1024 * 1024;

/** What the JSON file holds. */
interface Results {
  startedAt: string;
  options: BenchOptions;
  machine: MachineFacts;
  imageBytes: number;
  hosts: { name: string; rack: string; nicBitsPerSecond: number }[];
  measured: Partial<Record<CaseName, unknown>>;
  reports: Partial<Record<CaseName, unknown>>;
}

const log = (line: string): void => console.error(line);
/** Must not outlive us. */
const ownLab = new OwnLab("bench", "another bench, which would be measured as well, runs");

async function main(): Promise<void> {
  const asked = parseOptions(process.argv.slice(2));
  if (asked.help) return console.log(USAGE);
  const earlier = asked.resume === undefined ? undefined : JSON.parse(readFileSync(asked.resume, "utf8")) as Results;
  // Of an earlier run's options only where and how long it goes on is this one's.
  const { minutes, lab: labName, repeat } = asked;
  const options: BenchOptions = earlier ? { ...earlier.options, repeat, minutes, lab: labName } : asked;
  const lab = await ownLab.open(options.lab, { topology: TOPOLOGIES[options.hosts], log });
  try {
    await bench(lab, options, earlier, asked.resume);
  } finally {
    await ownLab.remove();
  }
}

async function bench(lab: Lab, options: BenchOptions, earlier: Results | undefined, resumed: string | undefined): Promise<void> {
  const beganMs = performance.now();
  const template = await installTemplate({
    name: lab.name, host: lab.hosts[0]!.name, volume: `bench-${options.imageBytes}.qcow2`,
    dataBytes: options.imageBytes, virtualBytes: options.imageBytes + SPARE_BYTES, log,
  });
  const imageBytes = await allocationOf({ lab, template });
  const hosts = lab.hosts.map(({ name, rack, nicBitsPerSecond }) => ({ name, rack, nicBitsPerSecond }));
  if (earlier && JSON.stringify(earlier.hosts) !== JSON.stringify(hosts)) throw new Error("--resume: expected a file of the same hosts");
  const results: Results = earlier ?? {
    startedAt: new Date().toISOString(), options, machine: await machineFacts(), imageBytes, hosts, measured: {}, reports: {},
  };
  const file = resumed ?? join(options.out, `${results.startedAt.replaceAll(":", "-").slice(0, 19)}.json`);
  const pictures = file.replace(/\.json$/, "");
  mkdirSync(pictures, { recursive: true });
  const plain = new PlainCopies(lab, imageBytes);
  const ground: BenchGround = {
    lab, template, imageBytes, plain, log,
    mayGoOn: () => options.minutes === undefined || performance.now() - beganMs < options.minutes * 60_000,
    picture: (name, svg) => writeFileSync(join(pictures, `${name}.svg`), svg),
  };
  const faults: string[] = [];
  try {
    await plain.prepare();
    for (const name of options.cases) {
      const one = caseOf(name);
      let report: CaseReport | undefined;
      const save = (measured: unknown): void => {
        results.measured[name] = measured;
        report = one.report(measured, ground);
        results.reports[name] = report.data;
        writeFileSync(file, `${JSON.stringify(results, undefined, 2)}\n`);
      };
      const measured = await one.measure(ground, options, results.measured[name], save);
      report ??= measured === undefined || results.measured[name] === undefined ? undefined : one.report(measured, ground);
      if (!report) continue;
      console.log(`\n${report.text}`);
      faults.push(...report.faults);
    }
  } finally {
    await plain.remove();
  }
  const { machine } = results;
  console.log([
    "",
    `${hosts.length} hosts, NICs of ${hosts[0]!.nicBitsPerSecond / 1e6} Mbit/s, on one machine: ${machine.cores} cores of ${machine.cpu}, kernel ${machine.kernel}, ${machine.qemu}, ${machine.libvirt}`,
    `All measurements: ${file}; pictures beside it in ${basename(pictures)}/`,
    faults.length === 0 ? "Every copy is identical to the template, and virsh found nothing of ours after each removal." : `FAULTS:\n  ${faults.join("\n  ")}`,
  ].join("\n"));
  if (faults.length > 0) process.exitCode = 1;
}

/** What a clone moves, as the provider sees it. */
async function allocationOf(ground: Pick<BenchGround, "lab" | "template">): Promise<number> {
  const spec = benchSpec(ground, "auto", 1);
  const hypervisor = createLibvirt({ spec });
  try {
    const { template, templateProblem } = await hypervisor.observe({
      fleetId: freshFleetId(), namePrefix: spec.namePrefix, hosts: spec.hosts, spec, preflight: false,
      deadlineMs: spec.timeouts.connectMs + spec.timeouts.callMs,
    });
    if (!template) throw new Error(`template: ${templateProblem?.message ?? "not found"}`);
    return template.disks.reduce((sum, disk) => sum + disk.bytes, 0);
  } finally {
    await hypervisor.close();
  }
}

async function interrupted(signal: NodeJS.Signals): Promise<void> {
  await ownLab.remove();
  process.exit(signal === "SIGINT" ? 130 : 143);
}
process.on("SIGINT", interrupted).on("SIGTERM", interrupted);

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
