/** Ignition's configuration in a definition: a file that QEMU hands to the guest as CoreOS images look for it. */
import { append, attribute, children, remove, type Element } from "./definition";
import { all, text, type ParsedXml } from "./xml";

const ENTRY = "opt/com.coreos/config";

/** @param isOurs of the file that an entry names: it goes where there is no other @param path absent: nothing is handed over */
export function setIgnition(root: Element, path: string | undefined, isOurs: (file: string) => boolean): void {
  const fwcfg = children(root, "sysinfo").filter((one) => attribute(one, "type") === "fwcfg");
  for (const info of fwcfg) {
    const goes = (entry: Element): boolean => attribute(entry, "name") === ENTRY && (path !== undefined || isOurs(attribute(entry, "file") ?? ""));
    remove(...children(info, "entry").filter(goes));
    if (children(info).length === 0) remove(info);
  }
  if (path !== undefined) append(root, { sysinfo: { "@type": "fwcfg", entry: { "@name": ENTRY, "@file": path } } });
}

/** Files that a definition hands to its guest so. */
export const ignitionFiles = (domain: ParsedXml): string[] => all(domain, "domain", "sysinfo")
  .flatMap((info) => all(info, "entry")).filter((entry) => text(entry, "@name") === ENTRY).flatMap((entry) => text(entry, "@file") ?? []);
