/** `vmfleet plan`: what a fleet file would do, worked out by the engine on the simulated hypervisor. */
import { inOrder, previewFleet, type Preview } from "../engine";
import { DEFAULT_IMAGE_BYTES, describePlanAtLength, formatBytes, formatSeconds, plural, type FleetSpec, type PolicyName } from "../fleet";
import { runSvg } from "../picture";
import { policyNames } from "../scheduler";
import { InputError, readSpec, writeText } from "./input";
import { table } from "./table";

export interface PlanOptions {
  json?: boolean;
  policy?: string;
  time: string;
  compare?: boolean;
  /** File that receives the picture. */
  svg?: string;
}

/** Tables longer than this are cut; `--json` has all. */
const MOST_ROWS = 40;

/** What a command has to say. */
export interface Output {
  stdout: string;
  stderr: string;
}

/** @throws InputError */
export async function plan(file: string, options: PlanOptions): Promise<Output> {
  const time = oneOf("--time", options.time, ["network", "unit"] as const);
  const policy = options.policy === undefined ? undefined : oneOf("--policy", options.policy, ["auto", ...policyNames] as const);
  const spec = readSpec(file);
  const preview = (name: "auto" | PolicyName = spec.policy): Promise<Preview> =>
    previewFleet({ spec: { ...spec, policy: name }, fleetId: spec.fleetId ?? "planned", incarnation: "planned", time });

  const planned = await preview(policy);
  if (planned.plan.problems.length > 0) {
    throw new InputError(planned.plan.problems.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join("\n"));
  }
  const compared: Preview[] = [];
  if (options.compare) for (const name of policyNames) compared.push(await preview(name));

  if (options.svg !== undefined) writeText(options.svg, pictureOf(planned, spec));
  const notes = [...assumptions(spec, time), ...planned.plan.warnings.map((warning) => `warning: ${warning}`)];
  if (options.json) {
    const result = { ...asJson(planned), ...(options.compare && { compare: compared.map(costs) }) };
    return { stdout: `${JSON.stringify(result, undefined, 2)}\n`, stderr: notes.map((note) => `${note}\n`).join("") };
  }
  const parts = options.compare ? [compareTable(compared)] : describe(planned, spec);
  return { stdout: `${[...parts, notes.join("\n")].filter((part) => part !== "").join("\n\n")}\n`, stderr: "" };
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw new InputError(`${option}: expected ${allowed.slice(0, -1).join(", ")} or ${allowed.at(-1)}, got "${value}"`);
  return found;
}

function pictureOf({ clones, policy, text }: Preview, spec: FleetSpec): string {
  const timeline = { clones: inOrder(clones), imageBytes: spec.imageBytes ?? DEFAULT_IMAGE_BYTES, racks: byRack(spec), leftOut: 0 };
  return runSvg(timeline, policy === "none" ? text : `${spec.namePrefix}: planned, ${policy}`);
}

/** All hosts, those of a rack together, racks as declared. */
const byRack = ({ racks, hosts }: FleetSpec): { name: string; hosts: string[] }[] =>
  racks.map((rack) => ({ name: rack.name, hosts: hosts.filter((host) => host.rack === rack.name).map(({ name }) => name) }));

const costs = ({ policy, summary }: Preview) => ({
  policy,
  makespanSeconds: tidySeconds(summary.makespanSeconds),
  bytesMoved: summary.bytesMoved,
  bytesAcrossRacks: summary.bytesAcrossRacks,
});

/** The shape of DESIGN.md section 10. */
function asJson(preview: Preview) {
  return {
    ...costs(preview),
    placement: preview.plan.placement,
    clones: inOrder(preview.clones).map(({ slot, source, sourceHost, targetHost, startSeconds, endSeconds }) => ({
      slot, source, sourceHost, targetHost, startSeconds: tidySeconds(startSeconds), endSeconds: tidySeconds(endSeconds),
    })),
  };
}

/** To the millisecond: what is beyond is rounding of floating point. */
const tidySeconds = (seconds: number): number => Math.round(seconds * 1000) / 1000;

/** The plan's line and what it does to each member, without the warnings, which stand below. */
function reasons({ plan: planned, summary }: Preview): string {
  const lines = describePlanAtLength({ ...planned, warnings: [] }, summary).split("\n");
  return cut(lines.slice(0, MOST_ROWS + 1).join("\n"), lines.length - 1);
}

function describe(preview: Preview, spec: FleetSpec): string[] {
  const { summary } = preview;
  const clones = inOrder(preview.clones).map(({ slot, source, sourceHost, targetHost, startSeconds, endSeconds }) =>
    [slot, source, sourceHost, targetHost, startSeconds.toFixed(1), endSeconds.toFixed(1)]);
  return [
    reasons(preview),
    placementTable(preview, spec),
    clones.length === 0 ? "" : cut(table(["clone", "source", "from", "to", "start s", "end s"], clones.slice(0, MOST_ROWS)), clones.length),
    table(["total", ""], [
      ["policy", preview.policy],
      ["makespan", formatSeconds(summary.makespanSeconds)],
      ["over the network", formatBytes(summary.bytesMoved)],
      ["across racks", formatBytes(summary.bytesAcrossRacks)],
    ]),
  ];
}

function placementTable({ plan: { placement } }: Preview, spec: FleetSpec): string {
  const ofRack = (rack: string) => spec.hosts.filter((host) => host.rack === rack);
  const members = (names: { name: string }[]): number => names.reduce((sum, { name }) => sum + (placement[name] ?? 0), 0);
  const racks = spec.racks.filter((rack) => ofRack(rack.name).length > 0);
  if (spec.hosts.length <= MOST_ROWS) {
    return table(["rack", "host", "members"], racks.flatMap((rack) =>
      ofRack(rack.name).map((host, i) => [i === 0 ? rack.name : "", host.name, placement[host.name] ?? 0])));
  }
  const rows = racks.map((rack) => [rack.name, ofRack(rack.name).length, members(ofRack(rack.name))]);
  return cut(table(["rack", "hosts", "members"], rows.slice(0, MOST_ROWS)), rows.length);
}

function cut(shown: string, rows: number): string {
  return rows <= MOST_ROWS ? shown : `${shown}\n... and ${plural(rows - MOST_ROWS, "more row")}; --json lists everything`;
}

function compareTable(previews: Preview[]): string {
  const best = Math.min(...previews.map((one) => one.summary.makespanSeconds));
  return table(["policy", "makespan", "against best", "over the network", "across racks"], previews.map(({ policy, summary }) => [
    policy, formatSeconds(summary.makespanSeconds), `${(best > 0 ? summary.makespanSeconds / best : 1).toFixed(2)} x`,
    formatBytes(summary.bytesMoved), formatBytes(summary.bytesAcrossRacks),
  ]));
}

/** What the file left open. In unit time nothing of it matters. */
function assumptions(spec: FleetSpec, time: "network" | "unit"): string[] {
  if (time === "unit") return [];
  const image = spec.imageBytes === undefined ? [`an image of ${formatBytes(DEFAULT_IMAGE_BYTES)} assumed`] : [];
  const all = [...spec.assumed, ...image];
  return all.length === 0 ? [] : ["The file does not say, so:", ...all.map((one) => `  ${one}`)];
}
