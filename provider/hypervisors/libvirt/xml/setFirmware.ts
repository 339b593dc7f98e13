/** What is declared of a machine's firmware, TPM and processor, set in its definition. */
import type { LibvirtMachine } from "../../../fleet/model";
import { allBelow, append, attribute, below, childOf, children, remove, type Element } from "./definition";

export function setFirmware(root: Element, { firmware, efiSecureBootEnabled, vtpm, cpuMode, machine }: LibvirtMachine): void {
  const os = childOf(root, "os");
  if (firmware === "bios") {
    os.removeAttribute("firmware");
    remove(...["loader", "nvram", "firmware"].flatMap((name) => children(os, name)));
  }
  // A machine that has it already keeps what it has.
  if (firmware === "efi" && !isEfi(os)) {
    os.setAttribute("firmware", "efi");
    remove(...["loader", "nvram"].flatMap((name) => children(os, name)));
  }
  if (efiSecureBootEnabled !== undefined && (efiSecureBootEnabled || isEfi(os))) setSecureBoot(os, efiSecureBootEnabled, machine);
  const devices = childOf(root, "devices");
  if (vtpm === null) remove(...children(devices, "tpm"));
  else if (vtpm) {
    if (attribute(below(devices, "tpm", "backend"), "version") !== vtpm.version) {
      remove(...children(devices, "tpm"));
      const isPc = ["x86_64", "i686", undefined].includes(attribute(below(os, "type"), "arch")); // elsewhere there is one model
      append(devices, { tpm: { "@model": vtpm.version === "1.2" || !isPc ? "tpm-tis" : "tpm-crb", backend: { "@type": "emulator", "@version": vtpm.version } } });
    }
  }
  if (cpuMode !== undefined && attribute(below(root, "cpu"), "mode") !== cpuMode) {
    const before = below(root, "cpu");
    const kept = before ? ["topology", "numa"].flatMap((name) => children(before, name)) : [];
    const made = append(root, { cpu: { "@mode": cpuMode } }, before ?? null);
    for (const one of kept) made.appendChild(one);
    remove(before);
  }
}

export const isEfi = (os: Element): boolean => attribute(os, "firmware") === "efi" || attribute(below(os, "loader"), "type") === "pflash";

/** Whether secure boot is asked of the firmware; undefined: neither. */
export function secureBootOf(os: Element): boolean | undefined {
  const said = attribute(allBelow(os, "firmware", "feature").find((one) => attribute(one, "name") === "secure-boot"), "enabled");
  return said === undefined ? undefined : said === "yes";
}

/** Which firmware has it each host knows: a file that the template names may have another. */
function setSecureBoot(os: Element, isEnabled: boolean, machine: string | undefined): void {
  if (secureBootOf(os) === isEnabled) return;
  os.setAttribute("firmware", "efi");
  remove(...["loader", "nvram", "firmware"].flatMap((name) => children(os, name)));
  const said = isEnabled ? "yes" : "no";
  append(os, { firmware: { feature: [{ "@enabled": said, "@name": "enrolled-keys" }, { "@enabled": said, "@name": "secure-boot" }] } });
  const type = childOf(os, "type");
  if (isEnabled && machine === undefined && !/q35/.test(attribute(type, "machine") ?? "")) type.setAttribute("machine", "q35");
}
