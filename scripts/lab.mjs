#!/usr/bin/env node
/** `node scripts/lab.mjs up|down|status [--name NAME] [--topology FILE] [--language LOCALE] [--json]` */
import { parseArgs } from "node:util";
import { down, status, up } from "../test/lab/lab.mjs";

const USAGE = "usage: node scripts/lab.mjs up|down|status [--name NAME] [--topology FILE] [--language LOCALE] [--json]";

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { name: { type: "string", default: "lab" }, topology: { type: "string" }, language: { type: "string" }, json: { type: "boolean", default: false } },
  });
  const [command, ...rest] = positionals;
  if (rest.length > 0) throw new Error(USAGE);
  const log = (line) => console.error(line);
  switch (command) {
    case "up":
      return print(await up({ name: values.name, topology: values.topology, language: values.language, log }), values);
    case "down":
      return down({ name: values.name, log });
    case "status":
      return print(await status({ name: values.name }), values);
    default:
      throw new Error(USAGE);
  }
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

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
