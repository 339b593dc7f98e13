import assert from "node:assert/strict";
import { isIgnitionVolume } from "../../../provider/hypervisors/libvirt/volumes/names";
import { readDefinition, writeDefinition } from "../../../provider/hypervisors/libvirt/xml/definition";
import { ignitionFiles, setIgnition } from "../../../provider/hypervisors/libvirt/xml/setIgnition";
import { parseXml } from "../../../provider/hypervisors/libvirt/xml/xml";

const OURS = "/pool/vmfleet-abc.1a2b.s0.g0.ignition.json";
const set = (inner: string, path?: string): string => {
  const root = readDefinition(`<domain>${inner}</domain>`);
  setIgnition(root, path, isIgnitionVolume);
  return writeDefinition(root);
};
const entry = (name: string, file: string) => `<entry name="${name}" file="${file}"/>`;
const info = (...entries: string[]) => `<sysinfo type="fwcfg">${entries.join("")}</sysinfo>`;
const CONFIG = "opt/com.coreos/config";

describe("what a definition hands to Ignition", () => {
  it("is the one file that it is to be, and is read back", () => {
    const made = set("<name>w</name>", OURS);
    assert.equal(made, `<domain><name>w</name>${info(entry(CONFIG, OURS))}</domain>`);
    assert.deepEqual(ignitionFiles(parseXml(made)), [OURS]);
    assert.equal(set(info(entry(CONFIG, "/template/config.ign")), OURS), `<domain>${info(entry(CONFIG, OURS))}</domain>`, "instead of the template's");
  });

  it("goes where nothing is told, and takes nothing of others along", () => {
    assert.equal(set(info(entry(CONFIG, OURS))), "<domain/>");
    for (const others of [info(entry("opt/com.example", "/x")), info(entry(CONFIG, "/template/config.ign")), `<sysinfo type="smbios"><bios/></sysinfo>`]) assert.equal(set(others), `<domain>${others}</domain>`);
    assert.equal(set(info(entry(CONFIG, OURS), entry("opt/com.example", "/x"))), `<domain>${info(entry("opt/com.example", "/x"))}</domain>`);
    assert.equal(isIgnitionVolume("/pool/config.ignition.json"), false);
  });
});
