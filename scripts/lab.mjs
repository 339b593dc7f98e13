#!/usr/bin/env node
/**
 * `node scripts/lab.mjs up|down|status [--name NAME] [--topology FILE] [--language LOCALE] [--template] [--json]`
 *
 * --name: default $VMFLEET_LAB, else `lab`. --template: the volume golden.qcow2 on the first host, and a kernel for its
 * members; what is there already stays. --language: its daemons answer in that language (`zh_CN.UTF-8`). `up` installs
 * what the lab needs, and says so first.
 */
import { parseArgs } from "node:util";
import { installTemplate } from "../test/lab/image.mjs";
import { down, status, up } from "../test/lab/lab.mjs";
import { endWithUs } from "./lib/programs.mjs";
import { ensureSetup } from "./lib/setup.mjs";

const USAGE = "usage: node scripts/lab.mjs up|down|status [--name NAME] [--topology FILE] [--language LOCALE] [--template] [--json]";

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: "string", default: process.env.VMFLEET_LAB ?? "lab" }, topology: { type: "string" }, language: { type: "string" },
      template: { type: "boolean", default: false }, json: { type: "boolean", default: false },
    },
  });
  const [command, ...rest] = positionals;
  if (rest.length > 0) throw new Error(USAGE);
  const log = (line) => console.error(line);
  switch (command) {
    case "up":
      return print(await start(values, log), values);
    case "down":
      return down({ name: values.name, log });
    case "status":
      return print(await status({ name: values.name }), values);
    default:
      throw new Error(USAGE);
  }
}

async function start({ name, topology, language, template }, log) {
  const { skipped } = await ensureSetup({ layers: ["lab"], log });
  if (skipped.lab) throw new Error(`the lab cannot run here: ${skipped.lab}`);
  const lab = await up({ name, topology, language, log });
  if (template) {
    const { path } = await installTemplate({ name, host: lab.hosts[0].name, keep: true, log });
    log(`lab ${name}: template ${path}`);
  }
  return lab;
}

function print(lab, { json, name }) {
  if (json) return console.log(JSON.stringify(lab, null, 2));
  if (lab === null) return console.log(`lab ${name}: not there`);
  for (const rack of lab.racks) console.log(`${rack.name}  uplink ${rack.uplinkBitsPerSecond / 1e6} Mbit/s`);
  for (const host of lab.hosts) {
    console.log([
      host.name, host.rack, host.pid === null ? "DOWN" : `pid ${host.pid}`, `NIC ${host.nicBitsPerSecond / 1e6} Mbit/s`,
      host.uri, `'${host.unixUri}'`, host.poolDir,
    ].join("  "));
  }
}

endWithUs();

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
