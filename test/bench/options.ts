/** What `npm run bench` may be told. */
import { parseArgs } from "node:util";
import type { PolicyName } from "../../provider/fleet/model";
import { policyNames } from "../../provider/scheduler";

export type BenchPolicy = "auto" | PolicyName;

export interface BenchOptions {
  /** In the order they take turns. @default singleSource, rounds, earliestCompletion, auto */
  policies: BenchPolicy[];
  /** Full clones a fleet has. @default 12 */
  members: number;
  /** Runs of each policy. @default 3 */
  repeat: number;
  /** Random bytes in the template. @default 96 MiB */
  imageBytes: number;
  /** Folder of the JSON file. @default "bench-results" */
  out: string;
  /** A lab that is up; it stays up. Absent: one of our own. */
  lab?: string;
  /** Topology file of our own lab. @default test/lab/topology.json */
  topology?: string;
  /** Start the guests within the time measured. @default false: where guests are emulated, their boots drown the copies */
  powerOn: boolean;
  help: boolean;
}

const POLICIES: readonly BenchPolicy[] = ["auto", ...policyNames];

export const USAGE = `npm run bench -- [options]
  --policies LIST     of ${POLICIES.join(", ")} (singleSource,rounds,earliestCompletion,auto)
  --members N         full clones a fleet has (12)
  --repeat N          runs of each policy (3)
  --image-mib N       random data in the template (96)
  --topology FILE     of the lab (test/lab/topology.json)
  --lab NAME          use this lab, which is up, and leave it up
  --power-on          start the guests within the time measured
  --out DIR           where the JSON file goes (bench-results)`;

/** @throws an Error that says which option, what was expected and what was given */
export function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      policies: { type: "string", default: "singleSource,rounds,earliestCompletion,auto" },
      members: { type: "string", default: "12" },
      repeat: { type: "string", default: "3" },
      "image-mib": { type: "string", default: "96" },
      out: { type: "string", default: "bench-results" },
      lab: { type: "string" },
      topology: { type: "string" },
      "power-on": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.lab !== undefined && values.topology !== undefined) {
    throw new Error("--topology: expected without --lab, whose lab has a topology already");
  }
  return {
    policies: policiesOf(values.policies),
    members: integer("--members", values.members, 1, 1000),
    repeat: integer("--repeat", values.repeat, 1, 100),
    imageBytes: integer("--image-mib", values["image-mib"], 1, 100_000) * 1024 * 1024,
    out: values.out,
    lab: values.lab,
    topology: values.topology,
    powerOn: values["power-on"],
    help: values.help,
  };
}

function policiesOf(list: string): BenchPolicy[] {
  return [...new Set(list.split(","))].map((name) => {
    const found = POLICIES.find((policy) => policy === name);
    if (found === undefined) throw new Error(`--policies: expected some of ${POLICIES.join(", ")}, got ${JSON.stringify(name)}`);
    return found;
  });
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new Error(`${option}: expected an integer from ${least} to ${most}, got ${JSON.stringify(text)}`);
  }
  return value;
}
